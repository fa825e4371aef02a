import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { ClusterAccess } from "./cluster-access.ts";
import type { Platform, PlatformOptions } from "./platform.ts";
import { openIngress } from "../ingress/open-ingress.ts";
import { openKubeClient } from "../kube/client.ts";
import { leadership, type LeadershipState } from "../kube/leader-election.ts";
import { loadAccess } from "../kube/load-access.ts";
import { alone } from "../controller/leader-elected-runner.ts";
import { openKubernetesStore } from "../store/kubernetes/kubernetes-store.ts";
import type { LeaseState } from "../telemetry/state.ts";
import { version } from "./version.ts";

/**
 * The API of a cluster with what stands on it: the store, the ingress and the election.
 * @throws AttacheError if nothing says how the cluster is reached.
 */
export async function openCluster(options: PlatformOptions): Promise<Platform> {
  const { loaded, clock, logger, env, mayWrite, ingressObserver: observer, requested } = options;
  const userAgent = `attache/${version}`;
  const { installation, store } = loaded.settings;
  const meshes = new Set(Object.keys(loaded.settings.meshes));
  const { kubeconfig, context, namespaces, consumers, leaderElection } = store.kubernetes;
  const access = await loadAccess({ kubeconfig, context, env, clock });
  await using stack = new AsyncDisposableStack();
  const api = stack.use(openKubeClient(access, { userAgent, clock, requested }));
  const opened = openKubernetesStore({
    ...{ api, namespaces, installation, meshes, mayWrite, clock, logger },
    consumersIn: consumers.clusterWide ? [] : namespaces,
    identitiesPerNamespace: loaded.settings.limits.identitiesPerNamespace,
  });
  stack.use(opened);
  const emissaries = loaded.settings.emissary;
  const served = stack.use(
    openIngress({ api, emissaries, store: opened, observer, userAgent, clock, logger }),
  );
  let lease: LeaseState = {};
  const candidacy = {
    api,
    name: `attache-${installation}`,
    // A name of a pod is used again, e.g. by a StatefulSet.
    holder: `${hostname()}_${randomUUID()}`,
    durationMs: leaderElection.leaseDuration,
    changed: ({ holder, error }: LeadershipState) => (lease = { holder, error }),
    logger,
    clock,
  };
  const owned = stack.move();
  return {
    store: opened,
    ingress: served,
    terms: leaderElection.enabled ? (signal) => leadership(candidacy, signal) : alone,
    isShared: true,
    namespace: api.namespace,
    cluster: new ClusterAccess({ api: () => Promise.resolve(api), clock, logger }),
    lease: () => (leaderElection.enabled ? lease : undefined),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
