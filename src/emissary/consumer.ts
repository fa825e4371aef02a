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
}

/** `undefined` for an object that names no context. Nothing is believed of its shape: its CRD may be any version's. */
export function consumerOf(kind: ConsumerKind, object: unknown): Consumer | undefined {
  const { metadata, spec } = fieldsOf(object);
  const { tls, tlsContext, service, auth_service: authService, ambassador_id: ids } = fieldsOf(spec);
  const context = kind === "Host" ? fieldsOf(tlsContext)["name"] : tls;
  if (typeof context !== "string" || context === "") return undefined;
  const { namespace, name, uid } = fieldsOf(metadata);
  const upstream = kind === "AuthService" ? authService : service;
  return {
    kind,
    namespace: textOf(namespace),
    name: textOf(name),
    uid: textOf(uid),
    ambassadorIds: ambassadorIdsOf(ids),
    // No name is longer, so that whatever is cut off here names nothing.
    context: context.slice(0, 254),
    isHttps: typeof upstream === "string" && /^https:\/\//i.test(upstream),
  };
}
