import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import type { Manifest, SecretManifest, TlsContextManifest } from "../render/manifest.ts";

/**
 * The TLS material that Emissary takes from a TLSContext: a client certificate, and roots for the upstream.
 */
export interface OriginationContext {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Reads a published TLSContext and the Secrets that it names, as Emissary does. */
export async function readContext(folder: string, name: string): Promise<OriginationContext> {
  const { spec } = (await readManifest(folder, "TLSContext", name)) as TlsContextManifest;
  const leaf = (await readManifest(folder, "Secret", spec.secret)) as SecretManifest;
  const ca = (await readManifest(folder, "Secret", spec.ca_secret)) as SecretManifest;
  return { cert: decode(leaf, "tls.crt"), key: decode(leaf, "tls.key"), ca: decode(ca, "tls.crt") };
}

async function readManifest(folder: string, kind: Manifest["kind"], name: string): Promise<Manifest> {
  return parse(await readFile(join(folder, `${kind}-${name}.yaml`), "utf8")) as Manifest;
}

function decode({ data }: SecretManifest, key: string): string {
  return Buffer.from(data[key] ?? "", "base64").toString();
}
