import { ambassadorIdsOf, fieldsOf, overlap, textOf } from "./fields.ts";

/** The kinds of `getambassador.io/v3alpha1` that name a TLSContext. */
export const consumerKinds = ["Mapping", "TCPMapping", "AuthService", "RateLimitService", "Host"] as const;
export type ConsumerKind = (typeof consumerKinds)[number];

/**
 * An object that names a TLSContext, reduced to what decides which cluster uses it and how insecure it is
 * without it.
 */
export interface Consumer {
  readonly kind: ConsumerKind;
  readonly namespace: string;
  readonly name: string;
  /** For Events about it. */
  readonly uid: string;
  readonly ambassadorIds: readonly string[];
  /** The name of the TLSContext; Emissary knows only one of that name, whatever the namespace. */
  readonly context: string;
  /** Whether its service says `https://`: without its context it is anonymous then, instead of plaintext. */
  readonly isHttps: boolean;
  /** Where it sends requests; absent for a Host. */
  readonly upstream?: ConsumerUpstream;
  /** The Service or Ingress in whose annotation it stands; absent for an object. */
  readonly holder?: ConsumerName;
}

/** What decides the name of the cluster in Envoy's metrics. */
export interface ConsumerUpstream {
  /** As in the object: `https://storefront:8443`. */
  readonly service: string;
  readonly statsName?: string;
  /** Whether it names a resolver. Consul's takes services by name alone. */
  readonly hasResolver: boolean;
}

export interface ConsumerName {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** `undefined` for an object that names no context. */
export function consumerOf(kind: ConsumerKind, object: unknown, holder?: ConsumerName): Consumer | undefined {
  const { metadata, spec } = fieldsOf(object);
  const fields = fieldsOf(spec);
  const { tls, tlsContext, ambassador_id: ids } = fields;
  const context = kind === "Host" ? fieldsOf(tlsContext)["name"] : tls;
  if (typeof context !== "string" || context === "") return undefined;
  const { namespace, name, uid } = fieldsOf(metadata);
  const service = textOf(fields[kind === "AuthService" ? "auth_service" : "service"]);
  return {
    kind,
    namespace: textOf(namespace),
    name: textOf(name),
    uid: textOf(uid),
    ambassadorIds: ambassadorIdsOf(ids),
    // One more character than a name can have: longer texts name nothing.
    context: context.slice(0, 254),
    isHttps: /^https:\/\//i.test(service),
    ...(kind !== "Host" && { upstream: upstreamOf(service, fields) }),
    ...(holder && { holder }),
  };
}

/** Identifies the object: `Mapping edge/web`. */
export function consumerKey({ kind, namespace, name }: ConsumerName): string {
  return `${kind} ${namespace}/${name}`;
}

function upstreamOf(
  service: string,
  { stats_name, resolver }: Readonly<Record<string, unknown>>,
): ConsumerUpstream {
  const statsName = textOf(stats_name).slice(0, maxUpstream);
  return {
    service: service.slice(0, maxUpstream),
    ...(statsName !== "" && { statsName }),
    hasResolver: textOf(resolver) !== "",
  };
}

/** In characters, of the text of a service; a host name has at most 253. */
const maxUpstream = 300;

/** The TLSContext of an identity, as consumers name it. */
export interface ContextName {
  readonly name: string;
  readonly ambassadorIds: readonly string[];
}

/** The consumers of a context, in a stable order. */
export function usersOf({ name, ambassadorIds }: ContextName, consumers: Iterable<Consumer>): Consumer[] {
  return [...consumers]
    .filter((one) => one.context === name && overlap(one.ambassadorIds, ambassadorIds))
    .toSorted((one, other) => compare(sortKey(one), sortKey(other)));
}

function sortKey({ namespace, name, kind }: Consumer): string {
  return `${namespace}/${name}/${kind}`;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

/** Whether Emissary rebuilds the cluster of such an object alone when it changes. */
export function isMapping({ kind }: Pick<ConsumerName, "kind">): boolean {
  return kind === "Mapping" || kind === "TCPMapping";
}

/**
 * The last observed change of any Mapping or TCPMapping, whether it names a context or not; by `elapsedMs()`.
 */
export interface MappingChange {
  readonly changedMs: number;
  /** When Emissary takes it, as far as can be known from outside. */
  readonly takenMs: number;
}

/** Emissary takes a change at once, and collects the changes of the next second into one further snapshot. */
export const snapshotWindowMs = 1_000;

/** When Emissary takes a change of `changedMs`, if it took the one before at `beforeMs`. */
export function snapshotMs(beforeMs: number, changedMs: number): number {
  return changedMs <= beforeMs ? beforeMs : Math.max(changedMs, beforeMs + snapshotWindowMs);
}
