import type { MeshCertificate } from "../../../src/api/mesh-certificate.ts";
import type { ContextUses } from "../../../src/store/kubernetes/consumers.ts";
import type {
  KubernetesStore,
  KubernetesStoreOptions,
} from "../../../src/store/kubernetes/kubernetes-store.ts";
import type { Use } from "../../../src/store/store.ts";
import { follow, type StoreEvents } from "../../conformance/store-scenario.ts";
import { type ClusterPeer, startClusterPeer, type StoreCluster } from "./store-peer.ts";
export type { StoreCluster } from "./store-peer.ts";

/** A kubernetes store in a namespace of its own, followed from its beginning. */
export interface StoreRun<C extends StoreCluster = StoreCluster> extends AsyncDisposable {
  readonly cluster: C;
  readonly peer: ClusterPeer;
  readonly namespace: string;
  readonly store: KubernetesStore;
  readonly events: StoreEvents;
  /** Writes a MeshCertificate, and returns it as the store tells it. */
  put(name: string, spec?: Readonly<Record<string, unknown>>): Promise<MeshCertificate>;
  /** What the stores have requested since the last call, without watches. */
  requests(): readonly string[];
  /** Closes the store: attaché does not run. */
  stop(): Promise<void>;
  /** Closes the store and opens it again, with the same options and these. */
  restart(options?: Partial<KubernetesStoreOptions>): Promise<void>;
}

export async function runStore<C extends StoreCluster>(
  cluster: C,
  options: Partial<KubernetesStoreOptions> = {},
  given?: ClusterPeer,
): Promise<StoreRun<C>> {
  const peer = given ?? (await startClusterPeer(cluster));
  const { namespace } = peer;
  let current = await open(options);
  let reported = 0;

  async function open(more: Partial<KubernetesStoreOptions>) {
    const store = await peer.open(more);
    const events = follow(store);
    return { store, events, options: more };
  }

  async function close(): Promise<void> {
    await current.events[Symbol.asyncDispose]();
    await current.store[Symbol.asyncDispose]();
  }

  const run: StoreRun<C> = {
    cluster,
    peer,
    namespace,
    get store() {
      return current.store;
    },
    get events() {
      return current.events;
    },
    async put(name, spec = {}) {
      await peer.put(`${namespace}/${name}`, { consul: { service: name }, ...spec });
      return (await current.events.next("identity")).identity;
    },
    requests() {
      const all = peer.requests.slice(reported);
      reported = peer.requests.length;
      return all;
    },
    async restart(more) {
      await close();
      current = await open({ ...current.options, ...more });
    },
    stop: close,
    async [Symbol.asyncDispose]() {
      await close();
      await peer[Symbol.asyncDispose]();
    },
  };
  await current.events.next("synced");
  return run;
}

/** Uses that a test makes up, by the name of the context. */
export interface ScriptedUses extends ContextUses {
  set(context: string, uses: readonly Use[] | undefined): void;
}

export function scriptedUses(): ScriptedUses {
  const uses = new Map<string, readonly Use[] | undefined>();
  const listeners = new Set<(context: string | undefined) => void>();
  return {
    usesOf: ({ name }) => (uses.has(name) ? uses.get(name) : []),
    isUsed: ({ name }) => Promise.resolve((uses.get(name) ?? []).length > 0),
    isAnyUsed: () => Promise.resolve(false),
    all: () => [],
    onChange(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => listeners.delete(listener) };
    },
    set(context, now) {
      uses.set(context, now);
      for (const listener of listeners) listener(context);
    },
  };
}

export const mapping: Use = { kind: "Mapping", namespace: "shop", name: "web" };
