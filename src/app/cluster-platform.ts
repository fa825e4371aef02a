import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { ClusterAccess } from "./cluster-access.ts";
import type { Platform, PlatformOptions } from "./platform.ts";
import { openIngress } from "../ingress/open-ingress.ts";
import { openKubeClient } from "../kube/client.ts";
import { leadership, type LeadershipState } from "../kube/leader-election.ts";
import { leaseName, settingsRefused } from "../kube/lease.ts";
import { loadAccess } from "../kube/load-access.ts";
import { resources } from "../kube/resources.ts";
import { alone } from "../controller/leader-elected-runner.ts";
import { managerOf } from "../render/marks.ts";
import { withTimeout } from "../runtime/timeout.ts";
import { leaveEndingNamespace } from "../store/kubernetes/ending-namespace.ts";
import { EventRecorder } from "../store/kubernetes/event-recorder.ts";
import { openKubernetesStore } from "../store/kubernetes/kubernetes-store.ts";
import { Orphans } from "../store/kubernetes/orphans.ts";
import type { LeaseState } from "../telemetry/state.ts";
import { version } from "./version.ts";

/** What the last act may take, within the time that the kubelet gives a pod; in milliseconds. */
const leaveWithinMs = 2_000;

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
  stack.defer(async () => {
    const late = () => new Error(`nothing was let go of in ${leaveWithinMs} ms`);
    using limit = withTimeout(leaveWithinMs, late, clock);
    const manager = managerOf(installation);
    const left = leaveEndingNamespace({ api, installation, manager, signal: limit.signal });
    await left.then(
      (count) => {
        if (count > 0) logger.log("NamespaceLeft", { namespace: api.namespace, count });
      },
      (error: unknown) => logger.log("NamespaceNotLeft", { namespace: api.namespace, err: error }),
    );
  });
  const opened = openKubernetesStore({
    ...{ api, namespaces, installation, meshes, mayWrite, clock, logger },
    consumersIn: consumers.clusterWide ? [] : namespaces,
    identitiesPerNamespace: loaded.settings.limits.identitiesPerNamespace,
    deletionGraceMs: loaded.settings.limits.deletionGrace,
  });
  stack.use(opened);
  const actsIn = (namespace: string) => namespaces.length === 0 || namespaces.includes(namespace);
  const orphans = consumers.clusterWide
    ? stack.use(
        new Orphans({
          api,
          actsIn,
          own: { installation, meshes },
          home: api.namespace,
          mayWrite,
          clock,
          logger,
        }),
      )
    : undefined;
  const emissaries = loaded.settings.emissary;
  const served = stack.use(
    openIngress({ api, emissaries, store: opened, observer, userAgent, clock, logger }),
  );
  let lease: LeaseState = {};
  const podUid = env["POD_UID"] === "" ? undefined : env["POD_UID"];
  const events = stack.use(new EventRecorder({ api, clock, logger, installation }));
  const ownPod = { resource: resources.pods, namespace: api.namespace, name: hostname(), uid: podUid ?? "" };
  const candidacy = {
    api,
    name: leaseName(installation),
    // A name of a pod is used again, e.g. by a StatefulSet.
    holder: `${hostname()}_${podUid === undefined ? "" : `${podUid}_`}${randomUUID()}`,
    // The containers of one pod run one after the other.
    isPredecessor: (holder: string) => podUid !== undefined && holder.startsWith(`${hostname()}_${podUid}_`),
    // A Deployment names its pods by the hash of their template.
    revision: podUid === undefined ? undefined : hostname().replace(/-[^-]*$/, ""),
    durationMs: leaderElection.leaseDuration,
    annotations: () => {
      const { refused } = options.settings ?? {};
      return { [settingsRefused]: refused && `${refused.at.toISOString()} ${refused.code}` };
    },
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
    clockAheadMs: () => api.aheadMs,
    orphans: () => orphans?.count ?? 0,
    api,
    namespace: api.namespace,
    cluster: new ClusterAccess({ api: () => Promise.resolve(api), clock, logger }),
    report: (event) => events.record(ownPod, event),
    lease: () => (leaderElection.enabled ? lease : undefined),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
