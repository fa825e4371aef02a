import { z } from "zod";
import { dnsLabel } from "../api/names.ts";
import { durationBetween } from "../text/duration.ts";

/** One Emissary-ingress, whose pods report what they have loaded. */
export const emissary = z.strictObject({
  ambassadorId: z
    .array(z.string().min(1))
    .min(1)
    .default(["default"])
    .describe("Its `AMBASSADOR_ID`, which selects the TLSContexts and Mappings that it reads."),
  service: dnsLabel
    .default("emissary-ingress-admin")
    .describe("The Service of its admin port, by which attaché finds its pods."),
  namespace: dnsLabel.optional().describe("The namespace of that Service. Default: attaché's own namespace."),
  port: z
    .int()
    .min(1)
    .max(65_535)
    .default(8877)
    .describe("The port on which each pod serves the metrics of Envoy."),
  path: z
    .string()
    .regex(/^\/[^\s#]*$/, 'must be a path, e.g. "/metrics"')
    .default("/metrics")
    .describe("The path of these metrics."),
  nudgeAfter: durationBetween("500ms", "10m")
    .prefault("2s")
    .describe(
      "How long a pod may take to load a new certificate before attaché touches the TLSContext to trigger a reload. attaché extends it for slow pods.",
    ),
  touchMappings: z
    .boolean()
    .default(false)
    .describe(
      "Whether attaché may set the annotation `attache.dev/nudge` on Mappings and TCPMappings whose cluster has missed a rotation. While Mappings change every second, nothing else has effect. Needs the right to get and patch them.",
    ),
  reconfigMaxDelay: durationBetween("1s", "5m")
    .prefault("1s")
    .describe(
      "Its `AMBASSADOR_RECONFIG_MAX_DELAY`: how long it waits before it takes what has changed. Until then attaché does not take it for frozen.",
    ),
});

export type EmissarySettings = z.output<typeof emissary>;
