import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { ApiOnDemand } from "./api-on-demand.ts";
import type { Clock } from "./clock.ts";
import { ApiCluster } from "./cluster.ts";
import type { LoadedSettings } from "./config/load.ts";
import type { IngressObserver } from "./ingress/emissary-ingress.ts";
import type { Ingress } from "./ingress/ingress.ts";
import { openApi } from "./kubernetes/api.ts";
import { leadership, type LeadershipState } from "./kubernetes/lease.ts";
import { loadAccess } from "./kubernetes/load-access.ts";
import { alone, type Terms } from "./reconcile/replica.ts";
import type { Store } from "./stores/store.ts";
import type { Logger } from "./telemetry/logger.ts";
import type { LeaseState } from "./telemetry/state.ts";
import { version } from "./version.ts";

/** Where attaché lives and works: a folder, or a cluster. */
export interface Home extends AsyncDisposable {
  readonly store: Store;
  /** Absent in a folder. */
  readonly ingress?: Ingress;
  /** When it works, where it is not the only one. */
  readonly terms: Terms;
  /** Whether others wait and other installations work beside it. */
  readonly isShared: boolean;
  /** The namespace in which attaché itself is; none in a folder. */
  readonly namespace?: string;
  /** For adapters; where attaché works in a folder, that which a pod or kubectl would take. */
  readonly cluster: ApiCluster;
  /** How the election stands, where there is one. */
  readonly lease: () => LeaseState | undefined;
}

export interface HomeOptions {
  readonly loaded: LoadedSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether this process may write now; asked before each write to a cluster. */
  readonly mayWrite: () => boolean;
  readonly ingressObserver: IngressObserver;
}

/** @throws AttacheError if the folder is somebody else's, or nothing says how the cluster is reached. */
export function openHome(options: HomeOptions): Promise<Home> {
  return options.loaded.settings.store.kind === "kubernetes" ? openCluster(options) : openFolder(options);
}

/** A home that is but a store which its owner has to himself. */
export function homeOf(
  store: Store,
  { loaded, clock, logger, env }: Omit<HomeOptions, "mayWrite" | "ingressObserver">,
): Home {
  const { kubeconfig, context } = loaded.settings.store.kubernetes;
  const onDemand = new ApiOnDemand({ kubeconfig, context, env, clock });
  return {
    store,
    terms: alone,
    isShared: false,
    cluster: new ApiCluster({ api: onDemand.api, clock, logger }),
    lease: () => undefined,
    async [Symbol.asyncDispose]() {
      await onDemand[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

async function openFolder(options: HomeOptions): Promise<Home> {
  // Has a native lock, which commands that only print need not load.
  const { openDirectoryStore } = await import("./stores/directory/directory-store.ts");
  const { loaded, clock, logger } = options;
  const { installation, store } = loaded.settings;
  return homeOf(await openDirectoryStore({ ...store.directory, installation, clock, logger }), options);
}

async function openCluster(options: HomeOptions): Promise<Home> {
  const { loaded, clock, logger, env, mayWrite, ingressObserver: observer } = options;
  const userAgent = `attache/${version}`;
  const [openKubernetesStore, openIngress] = [await kubernetesStore(), await ingress()];
  const { installation, store } = loaded.settings;
  const meshes = new Set(Object.keys(loaded.settings.meshes));
  const { kubeconfig, context, namespaces, consumers, leaderElection } = store.kubernetes;
  const access = await loadAccess({ kubeconfig, context, env, clock });
  await using stack = new AsyncDisposableStack();
  const api = stack.use(openApi(access, { userAgent, clock }));
  const opened = openKubernetesStore({
    ...{ api, namespaces, installation, meshes, mayWrite, clock, logger },
    consumersIn: consumers.clusterWide ? [] : namespaces,
  });
  stack.use(opened);
  const emissaries = loaded.settings.emissary;
  const served = stack.use(
    openIngress({ api, emissaries, consumption: opened, observer, userAgent, clock, logger }),
  );
  let lease: LeaseState = {};
  const candidacy = {
    api,
    name: `attache-${installation}`,
    // A name of a pod comes again, as that of a StatefulSet.
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
    cluster: new ApiCluster({ api: () => Promise.resolve(api), clock, logger }),
    lease: () => (leaderElection.enabled ? lease : undefined),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function kubernetesStore() {
  return (await import("./stores/kubernetes/kubernetes-store.ts")).openKubernetesStore;
}

async function ingress() {
  return (await import("./ingress/open-ingress.ts")).openIngress;
}
