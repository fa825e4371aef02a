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

/** A cluster of Envoy that originates TLS with some context, and all who send to it. */
export interface Cluster {
  /** What Envoy may call it, the likeliest first. */
  readonly names: readonly string[];
  readonly consumers: readonly Consumer[];
}

/** A cluster as one identity has it. */
export interface OwnCluster extends Cluster {
  /** The contexts of others that are used towards the same service: they share one series, and whose it shows nobody can tell. */
  readonly rivals: readonly string[];
}

/** The clusters of one Emissary that name contexts. */
export class Clusters {
  /** All names under which Envoy may have any of them. */
  readonly names: ReadonlySet<string>;
  readonly #byContext: ReadonlyMap<string, readonly Cluster[]>;

  constructor(consumers: Iterable<Consumer>, emissary: EmissaryView) {
    const byName = new Map<string, { names: readonly string[]; consumers: Consumer[] }>();
    for (const consumer of consumers) {
      const { upstream, namespace, ambassadorIds } = consumer;
      if (upstream === undefined || !overlap(ambassadorIds, emissary.ambassadorIds)) continue;
      const names = clusterNamesOf(upstream, namespace, emissary.namespace);
      const [name = ""] = names;
      const cluster = byName.get(name) ?? { names, consumers: [] };
      cluster.consumers.push(consumer);
      byName.set(name, cluster);
    }
    const byContext = new Map<string, Cluster[]>();
    for (const cluster of byName.values()) {
      for (const context of new Set(cluster.consumers.map((one) => one.context))) {
        byContext.set(context, [...(byContext.get(context) ?? []), cluster]);
      }
    }
    this.names = new Set([...byName.values()].flatMap(({ names }) => names));
    this.#byContext = byContext;
  }

  /** Those in which the contexts of an identity are used. */
  of(contexts: readonly ContextName[]): OwnCluster[] {
    const isOwn = (consumer: Consumer) =>
      contexts.some(
        ({ name, ambassadorIds }) =>
          consumer.context === name && overlap(consumer.ambassadorIds, ambassadorIds),
      );
    const found = new Set(contexts.flatMap(({ name }) => this.#byContext.get(name) ?? []));
    return [...found].flatMap(({ names, consumers }) => {
      const own = consumers.filter(isOwn);
      if (own.length === 0) return [];
      const others = consumers.filter((consumer) => !isOwn(consumer));
      return { names, consumers: own, rivals: [...new Set(others.map(({ context }) => context))] };
    });
  }
}
