import { z } from "zod";
import { rootProblems } from "../credentials/trust-bundle.ts";
import { severities } from "../emissary/exposure.ts";

/**
 * `Ready`: the published credential is valid now. `SourceReady`: the mesh provides credentials that pass all
 * policies.
 * `Published`: the store holds the current one. `Served`, in a cluster: the ingress has loaded it.
 * `Protected`, if the
 * identity has consumers: none of them is exposed. `RevocationChecked`, if it has a `crlSecret`: Envoy refuses upstreams
 * whose certificate is revoked. `Terminating`, during deletion: it is still in use, and
 * kept.
 */
export const conditionTypes = [
  "Ready",
  "SourceReady",
  "Published",
  "Served",
  "Protected",
  "RevocationChecked",
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
      "Ready: the published certificate is valid now. SourceReady: the mesh provides certificates. The README explains all types.",
    ),
  status: z.enum(["True", "False", "Unknown"]).describe("Whether the condition holds."),
  reason: z.string().describe("The reason for the status, as one CamelCase word."),
  message: z.string().describe("An explanation and, if there is a problem, the remedy."),
  lastTransitionTime: time.describe("The time of the last change of `status`."),
  observedGeneration: generation.describe("The generation of the spec that the condition describes."),
});
export type Condition = z.output<typeof condition>;

/** A consumer, for example a Mapping that names the TLSContext in `tls:`. */
const use = z.strictObject({
  kind: z.string().describe("Its kind, e.g. Mapping."),
  namespace: z.string().describe("Its namespace."),
  name: z.string().describe("Its name."),
  exposure: z
    .enum(severities)
    .optional()
    .describe("How the consumer is exposed, the worst grade that applies. Absent if it is protected."),
});
export type Use = z.output<typeof use>;

/** Maximum number of consumers that a status lists; `usedByCount` counts all. */
export const maxUses = 50;

/** Maximum number of root problems that a status lists. */
export const maxRootProblems = 16;

export const status = z
  .strictObject({
    observedGeneration: generation.describe("The generation of the spec that the status describes."),
    mesh: z.string().optional().describe("The mesh that issues the identity."),
    servedBy: z
      .string()
      .optional()
      .describe("The installation that serves the identity, as NAMESPACE/INSTALLATION; in a cluster."),
    conditions: z
      .array(condition)
      .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] })
      .describe("The state of the identity, one entry for each type."),
    spiffeId: z.string().optional().describe("The SPIFFE ID of the published leaf."),
    trustDomain: z.string().optional().describe("The trust domain of the published leaf."),
    serialNumber: z.string().optional().describe("The serial number of the published leaf, in hex."),
    notBefore: time.optional().describe("When the published leaf becomes valid."),
    notAfter: time.optional().describe("When the published leaf expires."),
    renewalTime: time.optional().describe("The time by which the mesh is expected to renew the leaf."),
    lastRotationTime: time.optional().describe("The time at which a new leaf or root was last published."),
    lastRenewRequest: z
      .string()
      .optional()
      .describe(
        "The last value of the annotation `attache.dev/renew` for which attaché requested a new leaf.",
      ),
    roots: z
      .array(
        z.strictObject({
          fingerprint: z.string().describe("SHA-256 of the root's DER, lower-case hex."),
          notAfter: time.describe("When the root expires."),
          state: z
            .enum(["active", "retiring"])
            .describe(
              "active: the mesh lists the root. retiring: the mesh has dropped it, and attaché retains it until `retireAt`.",
            ),
          retireAt: time.optional().describe("When attaché removes a retiring root."),
        }),
      )
      .optional()
      .describe("The published roots."),
    rootProblems: z
      .array(
        z.strictObject({
          fingerprint: z.string().describe("SHA-256 of the root's DER, lower-case hex."),
          reason: z
            .enum(rootProblems)
            .describe(
              "UnreadableByEnvoy: not published. Expired: not published unless it is the last. UnreadableByEmissary: published, but not first. UnusableKey: Envoy verifies nothing with it. Ambiguous: another root has its name, and no key identifier. Unknown: found in the CA Secret, and neither the mesh nor this status knew it.",
            ),
          message: z.string().describe("An explanation."),
        }),
      )
      .optional()
      .describe(`Problems with roots of the mesh, at most ${maxRootProblems}.`),
    usedBy: z.array(use).optional().describe(`The consumers of the published objects, at most ${maxUses}.`),
    usedByCount: z.int().optional().describe("The number of all consumers."),
  })
  .describe("Written by attaché only.");
export type Status = z.output<typeof status>;

/** `servedBy` of an attaché that runs in the namespace `home`: others may have the same name elsewhere. */
export function servedByOf(home: string, installation: string): string {
  return `${home}/${installation}`;
}

export function conditionOf(status: Status | undefined, type: ConditionType): Condition | undefined {
  return status?.conditions.find((condition) => condition.type === type);
}
