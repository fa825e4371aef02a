import { LazyKubeClient } from "./lazy-kube-client.ts";
import type { Clock } from "../runtime/clock.ts";
import { ClusterAccess } from "./cluster-access.ts";
import type { LoadedSettings } from "../config/load.ts";
import type { IngressControllerPorts } from "../ingress/controller.ts";
import type { Ingress } from "../ingress/ingress.ts";
import { alone, type Terms } from "../controller/leader-elected-runner.ts";
import type { KubeClientOptions } from "../kube/client.ts";
import type { Store } from "../store/store.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { LeaseState } from "../telemetry/state.ts";

/** Where attaché lives and works: a folder, or a cluster. */
export interface Platform extends AsyncDisposable {
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
  readonly cluster: ClusterAccess;
  /** How the election stands, where there is one. */
  readonly lease: () => LeaseState | undefined;
}

export interface PlatformOptions {
  readonly loaded: LoadedSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether this process may write now; asked before each write to a cluster. */
  readonly mayWrite: () => boolean;
  readonly ingressObserver: IngressControllerPorts["observer"];
  /** Called after each request to the API server. */
  readonly requested: NonNullable<KubeClientOptions["requested"]>;
}

/** A home that is but a store which its owner has to himself. */
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
