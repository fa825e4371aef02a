import { LazyKubeClient } from "./lazy-kube-client.ts";
import type { Clock } from "../runtime/clock.ts";
import { ClusterAccess } from "./cluster-access.ts";
import type { LoadedSettings } from "../config/load.ts";
import type { IngressControllerPorts } from "../ingress/controller.ts";
import type { Ingress } from "../ingress/ingress.ts";
import { alone, type Terms } from "../controller/leader-elected-runner.ts";
import type { KubeClient, KubeClientOptions } from "../kube/client.ts";
import type { StatusEvent } from "../store/kubernetes/status-events.ts";
import type { Store } from "../store/store.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { LeaseState, SettingsState } from "../telemetry/state.ts";

/** Where attaché runs: over a folder, or in a cluster. */
export interface Platform extends AsyncDisposable {
  readonly store: Store;
  /** Absent in a folder. */
  readonly ingress?: Ingress;
  /** The terms of leadership; without end where no other replica can be. */
  readonly terms: Terms;
  /** Whether other replicas and installations share the store. */
  readonly isShared: boolean;
  /** The client of the cluster that holds the store; absent over a folder. */
  readonly api?: KubeClient;
  /** The namespace in which attaché itself is; none in a folder. */
  readonly namespace?: string;
  /** For adapters; over a folder, the cluster that a pod or kubectl would use. */
  readonly cluster: ClusterAccess;
  /** Writes an Event about attaché itself; absent in a folder. */
  readonly report?: (event: StatusEvent) => void;
  /** How far the API server's clock is ahead, as of its last answer; none in a folder. */
  readonly clockAheadMs?: () => number | undefined;
  /** How many MeshCertificates this installation published and may not renew; 0 in a folder. */
  readonly orphans?: () => number;
  /** The state of the election, where there is one. */
  readonly lease: () => LeaseState | undefined;
}

export interface PlatformOptions {
  readonly loaded: LoadedSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** It may change. */
  readonly settings?: SettingsState;
  /** Whether this process may write now; asked before each write to a cluster. */
  readonly mayWrite: () => boolean;
  readonly ingressObserver: IngressControllerPorts["observer"];
  /** Called after each request to the API server. */
  readonly requested: NonNullable<KubeClientOptions["requested"]>;
}

/** A platform around a store that nothing else uses. */
export function platformOf(
  store: Store,
  { loaded, clock, logger, env }: Omit<PlatformOptions, "mayWrite" | "ingressObserver" | "requested">,
): Platform {
  const { kubeconfig, context } = loaded.settings.store.kubernetes;
  const onDemand = new LazyKubeClient({ kubeconfig, context, env, clock });
  return {
    store,
    terms: alone,
    isShared: false,
    cluster: new ClusterAccess({ api: onDemand.api, clock, logger }),
    lease: () => undefined,
    async [Symbol.asyncDispose]() {
      await onDemand[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}
