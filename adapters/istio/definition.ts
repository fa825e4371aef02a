import { z } from "zod";
import type { Bearer } from "../../src/mesh/adapter.ts";
import { socketPathMaxBytes } from "../../src/mesh/unix-socket.ts";

export const kind = "istio";

const socket = z
  .string()
  .regex(
    /^\//,
    'must be an absolute path, without "unix:", e.g. "/var/run/secrets/workload-spiffe-uds/socket"',
  )
  .refine((path) => Buffer.byteLength(path) <= socketPathMaxBytes, {
    error: `must be at most ${socketPathMaxBytes} bytes long, the limit of a Unix socket's path: mount it at a shorter one`,
  });

const sds = z.strictObject({
  mode: z
    .literal("sds")
    .default("sds")
    .describe("The Istio agent of attaché's own pod is asked over its Unix socket, as Envoy asks it."),
  socket: socket
    .optional()
    .describe(
      "Absolute path of the agent's Unix socket, at most 103 bytes. Default: the first of `/var/run/secrets/workload-spiffe-uds/socket` and `/etc/istio/proxy/SDS` (older agents) that exists.",
    ),
});

const files = z.strictObject({
  mode: z
    .literal("files")
    .describe(
      "The files are read that the Istio agent of attaché's own pod writes to the folder `OUTPUT_CERTS`.",
    ),
  directory: z
    .string()
    .regex(/^\//, 'must be an absolute path, e.g. "/etc/istio-output-certs"')
    .default("/etc/istio-output-certs")
    .describe("Absolute path of the folder with `key.pem`, `cert-chain.pem` and `root-cert.pem`."),
});

const modes = [sds, files] as const;

const settings = z.discriminatedUnion("mode", modes, {
  error: ({ input }) => {
    const { mode } = z.looseObject({ mode: z.unknown() }).parse(input);
    return `mode ${JSON.stringify(mode)} does not exist; there are: sds, files`;
  },
});

const identity = z.strictObject({
  serviceAccount: z
    .string()
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'must be the name of a ServiceAccount, e.g. "edge-mesh"')
    .optional()
    .describe(
      "The ServiceAccount of the MeshIdentity's own namespace whose identity is wanted. The modes `sds` and `files` have only that of attaché's own pod, and refuse another; leave it out to take whatever the agent gives.",
    ),
});

export type IstioSettings = z.output<typeof settings>;
export type IstioIdentity = z.output<typeof identity>;

/** Without a ServiceAccount that of attaché's own pod, whose namespace is not known here; nor is the trust domain. */
function expected({ serviceAccount }: IstioIdentity, { namespace }: Bearer): string {
  return serviceAccount === undefined
    ? "spiffe://*/ns/*/sa/*"
    : `spiffe://*/ns/${namespace}/sa/${serviceAccount}`;
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
