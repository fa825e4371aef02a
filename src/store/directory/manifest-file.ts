import { parse } from "yaml";
import { z } from "zod";
import { dnsLabel, dnsSubdomain } from "../../api/names.ts";
import type { Manifest } from "../../render/manifest.ts";
import { writeYaml } from "../../text/yaml/write.ts";

/**
 * What a manifest's file is at most, in bytes: Kubernetes refuses a Secret of more than 1 MiB, base64 adds a
 * third.
 */
export const maxManifestBytes = 2 * 1024 * 1024;

export function writeManifest(manifest: Manifest): string {
  return writeYaml(manifest);
}

/** What a file holds, if it is YAML at all, and without aliases: one may stand for what it stands in. */
export function readDocument(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: parse(text, { logLevel: "error", maxAliasCount: 0 }) };
  } catch {
    return undefined;
  }
}

/**
 * The manifest in a document, without what others have added to it; nothing if there is none or it is
 * damaged.
 */
export function manifestOf(document: unknown): Manifest | undefined {
  return manifest.safeParse(document).data;
}

const strings = z.record(z.string(), z.string());

const metadata = z.object({ name: dnsSubdomain, namespace: dnsLabel, labels: strings, annotations: strings });

const manifest = z.discriminatedUnion("kind", [
  z.object({
    apiVersion: z.literal("v1"),
    kind: z.literal("Secret"),
    metadata,
    type: z.enum(["kubernetes.io/tls", "Opaque"]),
    data: strings,
  }),
  z.object({
    apiVersion: z.literal("getambassador.io/v3alpha1"),
    kind: z.literal("TLSContext"),
    metadata,
    spec: z.object({
      ambassador_id: z.array(z.string()),
      secret: z.string(),
      ca_secret: z.string(),
      secret_namespacing: z.literal(false),
      alpn_protocols: z.string().exactOptional(),
      sni: z.string().exactOptional(),
      crl_secret: z.string().exactOptional(),
      min_tls_version: z.string().exactOptional(),
      max_tls_version: z.string().exactOptional(),
      cipher_suites: z.array(z.string()).exactOptional(),
      ecdh_curves: z.array(z.string()).exactOptional(),
    }),
  }),
]) satisfies z.ZodType<Manifest>;
