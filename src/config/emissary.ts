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
});

export type EmissarySettings = z.output<typeof emissary>;
