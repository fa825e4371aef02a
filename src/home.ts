import { ApiOnDemand } from "./api-on-demand.ts";
import type { Clock } from "./clock.ts";
import { ApiCluster } from "./cluster.ts";
import type { LoadedSettings } from "./config/load.ts";
import type { IngressObserver } from "./ingress/emissary-ingress.ts";
import type { Ingress } from "./ingress/ingress.ts";
import { alone, type Terms } from "./reconcile/replica.ts";
import type { Store } from "./stores/store.ts";
import type { Logger } from "./telemetry/logger.ts";
import type { LeaseState } from "./telemetry/state.ts";

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
export async function openHome(options: HomeOptions): Promise<Home> {
  if (options.loaded.settings.store.kind === "directory") return openFolder(options);
  // 10 MB of code that a folder does without.
  return (await import("./cluster-home.ts")).openCluster(options);
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
