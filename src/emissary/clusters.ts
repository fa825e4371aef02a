import type { Consumer, ConsumerUpstream, ContextName } from "./consumer.ts";
import { overlap } from "./fields.ts";

/** One Emissary-ingress, as far as it decides which objects it sees. */
interface EmissaryView {
  readonly ambassadorIds: readonly string[];
  /** Where it runs. */
  readonly namespace: string;
}

/** A cluster of Envoy in which an identity is used. */
export interface OwnCluster {
  /** The likeliest of its names. */
  readonly name: string;
  /**
   * Lists of possible names in Envoy; of each list the first one present counts. Mappings towards one service
   * share a cluster, which has the `stats_name` of the Mapping that came first.
   */
  readonly names: readonly (readonly string[])[];
  readonly consumers: readonly Consumer[];
  /** Other contexts whose clusters have the same name in the metrics. */
  readonly candidates: readonly string[];
  /**
   * Whether they are even the same cluster (the service says `https://`), which presents only one
   * certificate.
   */
  readonly isShared: boolean;
}

/** A cluster as Emissary makes it, of one or several consumers. */
interface Cluster {
  readonly consumers: Consumer[];
  /** By the likeliest of them; see {@link OwnCluster.names}. */
  readonly names: Map<string, readonly string[]>;
}

/** The clusters of one Emissary that name contexts. */
export class Clusters {
  /** All names under which Envoy may have any of them. */
  readonly names: ReadonlySet<string>;
  readonly all: Iterable<{
    readonly consumers: readonly Consumer[];
    readonly names: ReadonlyMap<string, readonly string[]>;
  }>;
  readonly #byContext = new Map<string, Set<Cluster>>();
  /** By the likeliest names: clusters with a common name share a series. */
  readonly #byName = new Map<string, Set<Cluster>>();
  /** Answers of {@link Clusters.of}, which each evaluation asks for. */
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
    this.all = [...all.values()];
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
    /** Computed once for each name: thousands of Mappings may have the same. */
    const known = new Map<string, readonly string[]>();
    const candidatesAt = (name: string): readonly string[] => {
      const before = known.get(name);
      if (before !== undefined) return before;
      const sharing = [...(this.#byName.get(name) ?? [])].flatMap(({ consumers }) => consumers);
      const others = sharing.filter((consumer) => !isOwn(consumer));
      const candidates = [...new Set(others.map(({ context }) => context))];
      known.set(name, candidates);
      return candidates;
    };
    return [...found].flatMap((cluster) => {
      const consumers = cluster.consumers.filter(isOwn);
      if (consumers.length === 0) return [];
      const names = [...cluster.names.values()];
      const [name = ""] = cluster.names.keys();
      const [first = [], ...more] = [...cluster.names.keys()].map(candidatesAt);
      const candidates = more.length === 0 ? first : [...new Set([first, ...more].flat())];
      return { name, names, consumers, candidates, isShared: consumers.length < cluster.consumers.length };
    });
  }
}

/**
 * As Emissary identifies clusters (`IRCluster`), as far as it shows from outside: the context counts unless
 * the service says `https://`.
 */
function keyOf({ kind, namespace, context, isHttps }: Consumer, service: string): string {
  const marker = kind === "AuthService" ? "extauth" : "";
  return [marker, service, isHttps ? "" : context, namespace].join(" ");
}

function put<T>(sets: Map<string, Set<T>>, key: string, item: T): void {
  sets.set(key, (sets.get(key) ?? new Set()).add(item));
}

/**
 * What Envoy may call the cluster in its metrics, the likeliest name first: its `stats_name`, or its service
 * as Emissary spells it. Emissary adds the namespace to an unqualified service, unless it is its own or its
 * Module says otherwise, which does not show from outside.
 */
export function clusterNamesOf(
  { service, statsName, hasResolver }: ConsumerUpstream,
  namespace: string,
  emissaryNamespace: string,
): readonly string[] {
  // Envoy replaces colons, and ends a name at the first dot.
  if (statsName !== undefined) return [statsName.replaceAll(":", "_").replace(/\..*/, "")];
  const { host, port } = partsOf(service);
  const isQualified = /[.:]/.test(host) || host === "localhost";
  const mayBeOwn = isQualified || namespace === emissaryNamespace;
  const hosts = mayBeOwn ? [host] : [`${host}.${namespace}`, host];
  const spelled = (hasResolver ? hosts.toReversed() : hosts).map((one) => spell(one + port));
  return [...new Set([...spelled, spell(withoutScheme(service))])];
}

function partsOf(service: string): { readonly host: string; readonly port: string } {
  const authority = withoutScheme(service).replace(/[/?#].*/, "");
  const [, host = authority, port = ""] = /^(\[[^\]]*\]|[^:]*)(:\d*)?$/.exec(authority) ?? [];
  return { host: host.toLowerCase(), port };
}

function withoutScheme(service: string): string {
  const end = service.indexOf("://");
  return end < 0 ? service : service.slice(end + 3);
}

function spell(service: string): string {
  return service.replace(/[^0-9A-Za-z_]/g, "_");
}
