import { z } from "zod";
import { dnsLabel } from "../api/names.ts";
import { durationBetween } from "../text/duration.ts";

const leaderElection = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe("Whether one of several replicas leads and the others wait. If false, run one replica only."),
  leaseDuration: durationBetween("1s", "10m")
    .prefault("15s")
    .refine((ms) => ms % 1_000 === 0, 'must be whole seconds, e.g. "15s"')
    .describe(
      "How long after its last renewal the lease of a leader expires, in whole seconds, at most `10m`.",
    ),
});

const consumers = z.strictObject({
  clusterWide: z
    .boolean()
    .default(true)
    .describe(
      "Whether attaché watches TLSContexts and their consumers (Mappings, TCPMappings, AuthServices, RateLimitServices, Hosts; of Services and Ingresses the metadata) in the whole cluster, " +
        "as Emissary does, even if `namespaces` is set. If false, attaché does not know consumers in other namespaces: a deletion does not wait for them, and " +
        "attaché does not report that they are exposed.",
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
    .describe("The namespaces in which attaché reads MeshCertificates and writes targets. Default: all."),
  consumers: consumers.prefault({}),
  kubeconfig: z
    .string()
    .min(1)
    .optional()
    .describe(
      "The kubeconfig. Default: the ServiceAccount of the pod; outside of a pod, the kubeconfig that kubectl uses.",
    ),
  context: z
    .string()
    .min(1)
    .optional()
    .describe("The context of the kubeconfig. Default: the current context."),
  leaderElection: leaderElection.prefault({}),
});
