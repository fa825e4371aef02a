import { z } from "zod";
import { dnsLabel } from "../api/names.ts";
import { duration } from "../text/duration.ts";

/** One Emissary-ingress, whose pods are asked what they have loaded. */
export const emissary = z.strictObject({
  ambassadorId: z
    .array(z.string().min(1))
    .min(1)
    .default(["default"])
    .describe("Its `AMBASSADOR_ID`: which TLSContexts and Mappings it sees."),
  service: dnsLabel
    .default("emissary-ingress-admin")
    .describe("The Service of its admin port; its pods are found by it."),
  namespace: dnsLabel.optional().describe("Where that Service is; by default attaché's own namespace."),
  port: z
    .int()
    .min(1)
    .max(65_535)
    .default(8877)
    .describe("The port on which each pod serves Envoy's metrics."),
  path: z
    .string()
    .regex(/^\/[^\s#]*$/, 'must be a path, e.g. "/metrics"')
    .default("/metrics")
    .describe("The path of Envoy's metrics there."),
  nudgeAfter: duration
    .prefault("2s")
    .refine((ms) => ms >= 500, "must be 500ms at least")
    .describe(
      "How long a pod may take for what is published, before attaché touches the TLSContext to have it taken; longer by itself where a pod is slow.",
    ),
});

export type EmissarySettings = z.output<typeof emissary>;
