import { z } from "zod";
import { dnsLabel, dnsSubdomain } from "./names.ts";
import { spec } from "./spec.ts";
import { identityRules, type SourceKind } from "./rules.ts";
import { status } from "./status.ts";

export const apiVersion = "attache.dev/v1alpha1";
export const kind = "MeshCertificate";

/** RFC 3339; tools write `null` where there is none. */
const timestamp = z
  .string()
  .nullable()
  .transform((text) => text ?? undefined)
  .optional();

const fields = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal(kind),
  metadata: z.looseObject({
    name: dnsSubdomain,
    namespace: dnsLabel.default("default"),
    uid: z.string().optional(),
    generation: z.int().optional(),
    creationTimestamp: timestamp,
    /** The time of the deletion; the finalizer keeps the object while it is in use. */
    deletionTimestamp: timestamp,
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
  spec,
  status: status.optional(),
});

/** Which workload identity to obtain from which mesh, and what to publish it as. */
export const meshCertificate = identityRules.reduce<typeof fields>(
  (schema, { holds, message, path }) => schema.refine(holds, { error: message, path: [...path] }),
  fields,
);

export type MeshCertificate = z.output<typeof meshCertificate>;
export type { Condition, ConditionType, Status, Use } from "./status.ts";

/** `NAMESPACE/NAME`: what an identity is called in logs, metrics and maps. */
export type IdentityKey = `${string}/${string}`;

export function keyOf({ metadata: { namespace, name } }: Pick<MeshCertificate, "metadata">): IdentityKey {
  return `${namespace}/${name}`;
}

/** As fields of a log line, and labels of metrics. */
export function partsOf(key: IdentityKey): Pick<MeshCertificate["metadata"], "namespace" | "name"> {
  const [namespace = "", name = ""] = key.split("/");
  return { namespace, name };
}

/** What is left to read once a newer status is known. */
export function withoutStatus({ status: _, ...rest }: MeshCertificate): MeshCertificate {
  return rest;
}

/**
 * The name of the source that `spec` has, and what stands there; exactly one is there, as the schema says.
 */
export function sourceOf({ spec: { consul, istio, spiffe, plugin } }: MeshCertificate): IdentitySource {
  if (consul !== undefined) return { kind: "consul", identity: consul };
  if (istio !== undefined) return { kind: "istio", identity: istio };
  if (spiffe !== undefined) return { kind: "spiffe", identity: spiffe };
  return { kind: "plugin", identity: plugin };
}

interface IdentitySource {
  readonly kind: SourceKind;
  /** To be parsed by the schema of the mesh's adapter. */
  readonly identity: unknown;
}

/** The mesh that the identity is obtained from: the one named, else the one that is named like the source. */
export function meshOf(identity: MeshCertificate): string {
  return identity.spec.mesh ?? sourceOf(identity).kind;
}
