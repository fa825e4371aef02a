import { z } from "zod";
import { socketPathMaxBytes } from "../../src/mesh/unix-socket.ts";

/** Where the Istio agent listens in a pod: the emptyDir volume `workload-socket` of the injected sidecar. */
export const defaultSocket = "/var/run/secrets/workload-spiffe-uds/socket";

export const kind = "istio";

const settings = z.strictObject({
  mode: z
    .enum(["sds"], {
      error: ({ input }) =>
        `mode ${JSON.stringify(input)} does not exist; this version knows "sds" only (istiod and files are planned)`,
    })
    .default("sds")
    .describe(
      "How the workload certificate is obtained. `sds`: from the Istio agent of attaché's own pod, over its Unix socket; it carries the identity of attaché's own ServiceAccount.",
    ),
  socket: z
    .string()
    .regex(
      /^\//,
      'must be an absolute path, without "unix:", e.g. "/var/run/secrets/workload-spiffe-uds/socket"',
    )
    .refine((path) => Buffer.byteLength(path) <= socketPathMaxBytes, {
      error: `must be at most ${socketPathMaxBytes} bytes long, the limit of a Unix socket's path: mount it at a shorter one`,
    })
    .default(defaultSocket)
    .describe(
      "Absolute path of the agent's Unix socket, at most 103 bytes. In a pod, mount the volume `workload-socket` at `/var/run/secrets/workload-spiffe-uds` into attaché's container.",
    ),
});

const identity = z.strictObject({
  serviceAccount: z
    .string()
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'must be the name of a ServiceAccount, e.g. "edge-mesh"')
    .optional()
    .describe(
      "The Kubernetes ServiceAccount whose identity is wanted. With mode `sds` it can only be attaché's own, and another one is refused; leave it out to take whatever the agent gives.",
    ),
});

export type IstioSettings = z.output<typeof settings>;
export type IstioIdentity = z.output<typeof identity>;

/** The SPIFFE IDs that count as `identity`; the agent's own namespace and trust domain are not known here. */
function expected({ serviceAccount = "*" }: IstioIdentity): string {
  return `spiffe://*/ns/*/sa/${serviceAccount}`;
}

/** What attaché must know of the adapter before it is used; light, so that it costs nothing when it is not. */
export const definition = {
  kind,
  settings,
  identity,
  expected,
  defaults: {
    // Workloads go on presenting leaves of a dropped root until they renew, at most one default life later.
    retainMs: 24 * 3_600_000,
    // What an Istio sidecar needs to terminate mTLS and see HTTP on any port and mode but ambient.
    alpnProtocols: "istio-http/1.1,istio,http/1.1",
  },
};
