import { ambassadorIdsOf } from "./ambassador-id.ts";
import { fieldsOf, textOf } from "./fields.ts";

/** The kinds of `getambassador.io/v3alpha1` that name a TLSContext. */
export const consumerKinds = ["Mapping", "TCPMapping", "AuthService", "RateLimitService", "Host"] as const;
export type ConsumerKind = (typeof consumerKinds)[number];

/** An object that names a TLSContext: the few fields of it that tell who uses what, and how badly it needs it. */
export interface Consumer {
  readonly kind: ConsumerKind;
  readonly namespace: string;
  readonly name: string;
  /** For Events about it. */
  readonly uid: string;
  readonly ambassadorIds: readonly string[];
  /** The name of the TLSContext; Emissary knows only one of that name, whatever the namespace. */
  readonly context: string;
  /** Whether it says itself that the upstream speaks TLS: without its context it is anonymous then, and not plaintext. */
  readonly isHttps: boolean;
  /** Where it sends to; nothing for a Host. */
  readonly upstream?: Upstream;
}

/** What decides what Envoy calls the cluster in its metrics. */
export interface Upstream {
  /** As it stands there: `https://storefront:8443`. */
  readonly service: string;
  readonly statsName?: string;
  /** Whether it names a resolver, which may be Consul's: that takes services by name alone. */
  readonly hasResolver: boolean;
}

/** `undefined` for an object that names no context. Nothing is believed of its shape: its CRD may be any version's. */
export function consumerOf(kind: ConsumerKind, object: unknown): Consumer | undefined {
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
    // No name is longer, so that whatever is cut off here names nothing.
    context: context.slice(0, 254),
    isHttps: /^https:\/\//i.test(service),
    ...(kind !== "Host" && { upstream: upstreamOf(service, fields) }),
  };
}

function upstreamOf(service: string, { stats_name, resolver }: Readonly<Record<string, unknown>>): Upstream {
  const statsName = textOf(stats_name).slice(0, maxUpstream);
  return {
    service: service.slice(0, maxUpstream),
    ...(statsName !== "" && { statsName }),
    hasResolver: textOf(resolver) !== "",
  };
}

/** Of the text of a service; a host name has 253 characters at most. */
const maxUpstream = 300;
