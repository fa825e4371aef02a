import { readFile } from "node:fs/promises";
import { type Clock, type Cluster, MeshError } from "../../../src/mesh/adapter.ts";
import { codeOf, readingInSlices } from "../../../src/mesh/kit/errors.ts";
import { polling } from "../../../src/mesh/kit/retry.ts";
import { type ListedRoots, readRoots } from "../../../src/credentials/certificates.ts";
import type { RootsSettings } from "../definition.ts";

/** Where istiod writes the mesh's roots, in each namespace (pilot/pkg/serviceregistry/kube/controller). */
const usualConfigMap = "istio-ca-root-cert";
const rootKey = "root-cert.pem";

/** How often a file is looked at; a mounted ConfigMap follows after a minute anyway. */
const lookMs = 5_000;

export interface RootsPorts {
  readonly cluster?: Cluster | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** The mesh's roots, or why there are none. */
type RootsFound = ListedRoots | MeshError;

/**
 * The mesh's roots where `settings` say that they stand: what is there now, then each change. Ends only by
 * throwing: the signal's reason, or a MeshError, after which it may be begun again.
 * @throws MeshError at once if there is no cluster, and they are to be read there.
 */
export function followRoots(
  settings: RootsSettings,
  { cluster, clock, signal }: RootsPorts,
): AsyncIterable<RootsFound> {
  const { configMap = usualConfigMap, clusterTrustBundle, file } = settings;
  if (file !== undefined) return inFile(file, clock, signal);
  if (cluster === undefined) throw noCluster();
  return clusterTrustBundle === undefined
    ? mapped(cluster.configMap(configMap, signal), (data) => inConfigMap(configMap, data))
    : mapped(cluster.clusterTrustBundle(clusterTrustBundle, signal), (pem) =>
        inBundle(clusterTrustBundle, pem),
      );
}

/** Where they stand, for messages. */
export function placeOf({ configMap = usualConfigMap, clusterTrustBundle, file }: RootsSettings): string {
  if (file !== undefined) return `file ${file}`;
  return clusterTrustBundle === undefined
    ? `ConfigMap ${configMap} of attaché's namespace`
    : `ClusterTrustBundle ${clusterTrustBundle}`;
}

async function* mapped<T>(
  values: AsyncIterable<T>,
  found: (value: T) => Promise<RootsFound>,
): AsyncGenerator<RootsFound> {
  for await (const value of values) yield await found(value);
}

async function inConfigMap(
  name: string,
  data: Readonly<Record<string, string>> | undefined,
): Promise<RootsFound> {
  const place = placeOf({ configMap: name });
  const pem = data?.[rootKey];
  if (pem !== undefined) return parse(pem, place);
  return new MeshError(
    "ATTACHE_MESH_CLUSTER",
    data === undefined ? `there is no ${place}` : `the ${place} has no ${rootKey}`,
    {
      remedy:
        "istiod writes it into each namespace that its discoverySelectors select. Where it writes a ClusterTrustBundle instead (ENABLE_CLUSTER_TRUST_BUNDLE_API), set `roots.clusterTrustBundle`; outside of its cluster, `roots.file`.",
    },
  );
}

async function inBundle(name: string, pem: string | undefined): Promise<RootsFound> {
  const place = placeOf({ clusterTrustBundle: name });
  if (pem !== undefined) return parse(pem, place);
  return new MeshError("ATTACHE_MESH_CLUSTER", `there is no ${place}`, {
    remedy:
      "Check its name, and that the cluster has the API (certificates.k8s.io/v1beta1) and istiod writes it (ENABLE_CLUSTER_TRUST_BUNDLE_API); else take `roots.configMap`.",
  });
}

async function* inFile(path: string, clock: Clock, signal: AbortSignal): AsyncGenerator<RootsFound> {
  const texts = polling(
    () => readFile(path, "utf8").catch((cause: unknown) => unreadable(path, cause)),
    () => clock.sleep(lookMs, signal),
  );
  let last: string | undefined;
  for await (const text of texts) {
    const seen = MeshError.is(text) ? text.message : text;
    if (seen !== last) yield MeshError.is(text) ? text : await parse(text, placeOf({ file: path }));
    last = seen;
  }
}

async function parse(pem: string, place: string): Promise<RootsFound> {
  try {
    const listed = await readingInSlices(`the ${place}`, () => readRoots(pem));
    if (listed.bundle.length > 0) return listed;
    return new MeshError("ATTACHE_MESH_MALFORMED", `the ${place} holds no certificate`);
  } catch (error) {
    if (!MeshError.is(error)) throw error;
    return error;
  }
}

function unreadable(path: string, cause: unknown): MeshError {
  const code = codeOf(cause) ?? "unknown error";
  return new MeshError("ATTACHE_MESH_TLS", `the roots in ${path} cannot be read (${code})`, {
    remedy: "Correct `roots.file`, and let attaché read it.",
    cause,
  });
}

function noCluster(): MeshError {
  return new MeshError(
    "ATTACHE_MESH_CLUSTER",
    "attaché knows no Kubernetes cluster in which the mesh's roots stand",
    {
      retryable: false,
      remedy: "Run it in the cluster or with a kubeconfig, or name a file with `roots.file`.",
    },
  );
}
