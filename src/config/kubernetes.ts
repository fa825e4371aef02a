import { z } from "zod";
import { dnsLabel } from "../api/names.ts";
import { duration } from "../text/duration.ts";

const leaderElection = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe("Whether one of several replicas works and the others wait. Without it, run one replica only."),
  leaseDuration: duration
    .prefault("15s")
    .refine((ms) => ms >= 1_000 && ms % 1_000 === 0, "must be whole seconds, 1s at least")
    .describe("How long after its last sign of life a leader counts as dead; whole seconds."),
});

const consumers = z.strictObject({
  clusterWide: z
    .boolean()
    .default(true)
    .describe(
      "Whether TLSContexts and what names them (Mappings, TCPMappings, AuthServices, RateLimitServices, Hosts) are watched in the whole cluster, " +
        "as Emissary sees them, even where `namespaces` names some. Without it, uses elsewhere are not known: a deletion does not wait for them, and " +
        "nobody tells that they are exposed.",
    ),
});

/** The store `kubernetes`. */
export const kubernetes = z.strictObject({
  namespaces: z
    .array(dnsLabel)
    .superRefine((names, context) => {
      for (const [index, name] of names.entries()) {
        const message = `the namespace ${name} stands here twice: keep one of them`;
        if (names.indexOf(name) < index) context.addIssue({ code: "custom", path: [index], message });
      }
    })
    .default([])
    .describe("The namespaces in which MeshCertificates are read and targets are written; none: all."),
  consumers: consumers.prefault({}),
  kubeconfig: z
    .string()
    .min(1)
    .optional()
    .describe("How to reach the API server; by default as a pod does, and elsewhere as kubectl does."),
  context: z
    .string()
    .min(1)
    .optional()
    .describe("Which context of the kubeconfig; by default the current one."),
  leaderElection: leaderElection.prefault({}),
});
