import { z } from "zod";
import type { IdentityOwner } from "../../src/mesh/adapter.ts";
import { durationBetween } from "../../src/text/duration.ts";
import { readAddress } from "../../src/mesh/kit/address.ts";
import { socketPathMaxBytes } from "../../src/mesh/kit/unix-socket.ts";

export const kind = "istio";

const socket = z
  .string()
  .trim()
  .regex(
    /^\/\P{Cc}*$/u,
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
    .trim()
    .regex(/^\/\P{Cc}*$/u, 'must be an absolute path, e.g. "/etc/istio-output-certs"')
    .default("/etc/istio-output-certs")
    .describe("Absolute path of the folder with `key.pem`, `cert-chain.pem` and `root-cert.pem`."),
});

/** What istiod's certificate is for in any case, where it lives in its usual namespace. */
export const defaultServerName = "istiod.istio-system.svc";

/** Where istiod writes the revocation lists of a plugged-in CA (pilot/pkg/serviceregistry/kube/controller). */
export const defaultCrlConfigMap = "istio-ca-crl";

const istiod = z.strictObject({
  mode: z
    .literal("istiod")
    .describe(
      "istiod's CA signs, without a sidecar: for each MeshCertificate, with a token of the ServiceAccount that it names.",
    ),
  address: z
    .string()
    .refine((text) => readAddress(text)?.port !== undefined, {
      error: 'must be HOST:PORT, e.g. "istiod.istio-system.svc:15012"',
    })
    .default(`${defaultServerName}:15012`)
    .describe(
      "Where the CA listens, with TLS. A revision has a Service of its own: `istiod-REVISION.istio-system.svc:15012`.",
    ),
  serverName: z
    .string()
    .min(1)
    .optional()
    .describe(
      "The name that istiod's certificate must carry. Default: the host of `address`, or `istiod.istio-system.svc` where that is an IP address or `localhost`.",
    ),
  roots: z
    .strictObject({
      configMap: z
        .string()
        .min(1)
        .optional()
        .describe(
          "The ConfigMap in attaché's own namespace whose `root-cert.pem` holds them. Default: `istio-ca-root-cert`, which istiod writes.",
        ),
      clusterTrustBundle: z
        .string()
        .min(1)
        .optional()
        .describe(
          "In its place a ClusterTrustBundle: `istio.io:istiod-ca:root-cert`, where istiod has `ENABLE_CLUSTER_TRUST_BUNDLE_API`.",
        ),
      file: z
        .string()
        .min(1)
        .optional()
        .describe("In its place a PEM file; looked at again every few seconds."),
    })
    .refine((roots) => Object.keys(roots).length <= 1, {
      error: "name one of configMap, clusterTrustBundle and file",
    })
    .prefault({}),
  crlConfigMap: z
    .string()
    .min(1)
    .optional()
    .describe(
      "The ConfigMap in attaché's own namespace whose `ca-crl.pem` holds the revocation lists of a plugged-in CA. Default: `istio-ca-crl`, which istiod writes; none with `roots.file` or `roots.clusterTrustBundle`.",
    ),
  audience: z
    .string()
    .min(1)
    .default("istio-ca")
    .describe("Of the ServiceAccounts' tokens, as istiod wants it."),
  clusterId: z
    .string()
    .min(1)
    .optional()
    .describe(
      "The name under which istiod knows the cluster that the tokens are of, where it is not its own (multi-cluster).",
    ),
  ttl: durationBetween("1m", "90d")
    .optional()
    .describe("How long a leaf is to live, e.g. `24h`; istiod's own default if it is left out."),
  keyType: z
    .enum(["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096"])
    .default("ec-p256")
    .describe("Of the leaves' private keys."),
});

const modes = [sds, istiod, files] as const;

const settings = z.discriminatedUnion("mode", modes, {
  error: ({ input }) => {
    const { mode } = z.looseObject({ mode: z.unknown() }).parse(input);
    return `mode ${JSON.stringify(mode)} does not exist; there are: sds, istiod, files`;
  },
});

const identity = z.strictObject({
  serviceAccount: z
    .string()
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'must be the name of a ServiceAccount, e.g. "edge-mesh"')
    .optional()
    .describe(
      "The ServiceAccount of the MeshCertificate's own namespace whose identity is wanted; mode `istiod` needs it. The modes `sds` and `files` have only that of attaché's own pod, and refuse another: leave it out to take whatever the agent gives.",
    ),
});

export type IstioSettings = z.output<typeof settings>;
export type IstiodSettings = z.output<typeof istiod>;
export type RootsSettings = IstiodSettings["roots"];
export type IstioIdentity = z.output<typeof identity>;

/**
 * Without a ServiceAccount that of attaché's own pod, whose namespace is not known here; nor is the trust
 * domain.
 */
function expected({ serviceAccount }: IstioIdentity, { namespace }: IdentityOwner): string {
  return serviceAccount === undefined
    ? "spiffe://*/ns/*/sa/*"
    : `spiffe://*/ns/${namespace}/sa/${serviceAccount}`;
}

/**
 * What attaché must know of the adapter before it is used; light, so that it costs nothing when it is not.
 */
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
