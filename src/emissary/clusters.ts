import { overlap } from "./ambassador-id.ts";
import { clusterNamesOf } from "./cluster-names.ts";
import type { Consumer } from "./consumer.ts";
import type { ContextName } from "./uses.ts";

/** One Emissary-ingress, as it sees objects. */
export interface EmissaryView {
  readonly ambassadorIds: readonly string[];
  /** In which it runs. */
  readonly namespace: string;
}

/** A cluster of Envoy in which an identity is used. */
export interface OwnCluster {
  /** The likeliest of its names. */
  readonly name: string;
  /**
   * What Envoy may call it: of each list the first that there is. Mappings towards one service share a cluster, and whose `stats_name` it has depends on which came first.
   */
  readonly names: readonly (readonly string[])[];
  readonly consumers: readonly Consumer[];
  /** The contexts of others of which its metrics may be just as well. */
  readonly rivals: readonly string[];
  /** Whether it is one cluster for all of them, so that only one certificate can be presented: their service says `https://`. */
  readonly isShared: boolean;
}

/** A cluster as Emissary makes it, of one or several consumers. */
interface Cluster {
  readonly consumers: Consumer[];
  readonly names: Map<string, readonly string[]>;
}

/** The clusters of one Emissary that name contexts. */
export class Clusters {
  /** All names under which Envoy may have any of them. */
  readonly names: ReadonlySet<string>;
  readonly #byContext = new Map<string, Set<Cluster>>();
  /** By the likeliest names: to have one in common is to share a series. */
  readonly #byName = new Map<string, Set<Cluster>>();
  /** What was asked for before: it is asked for at each look. */
  readonly #own = new WeakMap<readonly ContextName[], readonly OwnCluster[]>();

  constructor(consumers: Iterable<Consumer>, emissary: EmissaryView) {
    const all = new Map<string, Cluster>();
    for (const consumer of consumers) {
      const { upstream, namespace, context, ambassadorIds } = consumer;
      if (upstream === undefined || !overlap(ambassadorIds, emissary.ambassadorIds)) continue;
      const key = keyOf(consumer, upstream.service);
      const cluster = all.get(key) ?? { consumers: [], names: new Map<string, readonly string[]>() };
      all.set(key, cluster);
      cluster.consumers.push(consumer);
      const names = clusterNamesOf(upstream, namespace, emissary.namespace);
      const [name = ""] = names;
      cluster.names.set(name, names);
      put(this.#byName, name, cluster);
      put(this.#byContext, context, cluster);
    }
    this.names = new Set(all.values().flatMap(({ names }) => [...names.values()].flat()));
  }

  /** Those in which the contexts of an identity are used. */
  of(contexts: readonly ContextName[]): readonly OwnCluster[] {
    const known = this.#own.get(contexts) ?? this.#find(contexts);
    this.#own.set(contexts, known);
    return known;
  }

  #find(contexts: readonly ContextName[]): OwnCluster[] {
    const isOwn = (consumer: Consumer) =>
      contexts.some(
        ({ name, ambassadorIds }) =>
          consumer.context === name && overlap(consumer.ambassadorIds, ambassadorIds),
      );
    const found = new Set(contexts.flatMap(({ name }) => [...(this.#byContext.get(name) ?? [])]));
    const known = new Map<string, readonly string[]>();
    /** Once for each name: somebody may have given the same to thousands of Mappings. */
    const rivalsAt = (name: string): readonly string[] => {
      const before = known.get(name);
      if (before !== undefined) return before;
      const sharing = [...(this.#byName.get(name) ?? [])].flatMap(({ consumers }) => consumers);
      const others = sharing.filter((consumer) => !isOwn(consumer));
      const rivals = [...new Set(others.map(({ context }) => context))];
      known.set(name, rivals);
      return rivals;
    };
    return [...found].flatMap((cluster) => {
      const consumers = cluster.consumers.filter(isOwn);
      if (consumers.length === 0) return [];
      const names = [...cluster.names.values()];
      const [name = ""] = cluster.names.keys();
      const [first = [], ...more] = [...cluster.names.keys()].map(rivalsAt);
      const rivals = more.length === 0 ? first : [...new Set([first, ...more].flat())];
      return { name, names, consumers, rivals, isShared: consumers.length < cluster.consumers.length };
    });
  }
}

/** As Emissary names clusters (`IRCluster`), as far as it can be known from outside: the context counts unless the service says `https://`. */
function keyOf({ kind, namespace, context, isHttps }: Consumer, service: string): string {
  const marker = kind === "AuthService" ? "extauth" : "";
  return [marker, service, isHttps ? "" : context, namespace].join(" ");
}

function put<T>(sets: Map<string, Set<T>>, key: string, item: T): void {
  sets.set(key, (sets.get(key) ?? new Set()).add(item));
}
