import { z } from "zod";
import { severities } from "../emissary/exposure.ts";

/**
 * `Ready`: what is published is good now; `SourceReady`: the mesh gives credentials; `Published`: the store has them;
 * `Served`, only in a cluster: the ingress has loaded it; `Protected`, only where something uses the identity: none of that is exposed;
 * `Terminating`, only while the identity is being deleted: something still uses it, and it is kept for that long.
 */
export const conditionTypes = [
  "Ready",
  "SourceReady",
  "Published",
  "Served",
  "Protected",
  "Terminating",
] as const;
export type ConditionType = (typeof conditionTypes)[number];

const time = z.iso.datetime();
const generation = z.int().optional();

/** As in the Kubernetes API conventions, "Typical status properties". */
export const condition = z.strictObject({
  type: z
    .enum(conditionTypes)
    .describe(
      "Ready: what is published is good now. SourceReady: the mesh gives credentials. See the reference.",
    ),
  status: z.enum(["True", "False", "Unknown"]).describe("Whether it is so."),
  reason: z.string().describe("One CamelCase word for machines."),
  message: z.string().describe("What is so and, unless all is well, what to do."),
  lastTransitionTime: time.describe("When `status` last changed."),
  observedGeneration: generation.describe("Of the spec that the condition is about."),
});
export type Condition = z.output<typeof condition>;

/** An object that names what is published: a Mapping whose `tls:` is our TLSContext. */
const use = z.strictObject({
  kind: z.string().describe("E.g. Mapping."),
  namespace: z.string().describe("Its namespace."),
  name: z.string().describe("Its name."),
  exposure: z
    .enum(severities)
    .optional()
    .describe("How it is exposed all the same, the worst that applies; absent: it is protected."),
});
export type Use = z.output<typeof use>;

/** The most uses that a status lists; it has the count of all. */
export const maxUses = 50;

export const status = z
  .strictObject({
    observedGeneration: generation.describe("Of the spec that the status is about."),
    conditions: z
      .array(condition)
      .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] })
      .describe("What is so, one entry a type."),
    spiffeId: z.string().optional().describe("Of the published leaf."),
    trustDomain: z.string().optional().describe("Of the published leaf."),
    serialNumber: z.string().optional().describe("Of the published leaf, hex."),
    notBefore: time.optional().describe("When the published leaf becomes valid."),
    notAfter: time.optional().describe("When the published leaf expires."),
    renewalTime: time.optional().describe("When the mesh is expected to have renewed the leaf."),
    lastRotationTime: time.optional().describe("When a new leaf or root was last published."),
    lastRenewRequest: z
      .string()
      .optional()
      .describe(
        "The value of the annotation `attache.dev/renew` that the mesh was last asked for a new leaf for.",
      ),
    roots: z
      .array(
        z.strictObject({
          fingerprint: z.string().describe("SHA-256 of the root's DER, lower-case hex."),
          notAfter: time.describe("When the root expires."),
          state: z
            .enum(["active", "retiring"])
            .describe("Whether the mesh lists it, or has dropped it and it is kept for a while."),
          retireAt: time.optional().describe("When a retiring root goes."),
        }),
      )
      .optional()
      .describe("The roots that are published."),
    usedBy: z.array(use).optional().describe(`Who names what is published, ${maxUses} at most.`),
    usedByCount: z.int().optional().describe("How many name what is published."),
  })
  .describe("Written by attaché alone.");
export type Status = z.output<typeof status>;
