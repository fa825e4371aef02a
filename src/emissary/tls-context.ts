import { ambassadorIdsOf, fieldsOf, textOf } from "./fields.ts";

/** Any TLSContext, reduced to what matters to its consumers. */
export interface TlsContext {
  readonly namespace: string;
  readonly name: string;
  readonly ambassadorIds: readonly string[];
  /** Without it, no client certificate is presented. */
  readonly secret: SecretName | undefined;
  /** Without it, the upstream's certificate is not verified. */
  readonly caSecret: SecretName | undefined;
  /** Whether it takes certificates from files in Emissary's pod, which cannot be read from outside. */
  readonly hasFiles: boolean;
}

export interface SecretName {
  readonly namespace: string;
  readonly name: string;
}

/** Takes objects of any shape: the CRD may be any version's. */
export function tlsContextOf(object: unknown): TlsContext {
  const { metadata, spec } = fieldsOf(object);
  const fields = fieldsOf(spec);
  const namespace = textOf(fieldsOf(metadata)["namespace"]);
  const secretNamed = (name: unknown) => secretName(name, namespace, fields["secret_namespacing"]);
  return {
    namespace,
    name: textOf(fieldsOf(metadata)["name"]),
    ambassadorIds: ambassadorIdsOf(fields["ambassador_id"]),
    secret: secretNamed(fields["secret"]),
    caSecret: secretNamed(fields["ca_secret"]),
    hasFiles: textOf(fields["cert_chain_file"]) !== "",
  };
}

/** `NAME.NAMESPACE`, split at the last dot as Emissary does; with `secret_namespacing: false` a dot means nothing. */
function secretName(name: unknown, own: string, namespacing: unknown): SecretName | undefined {
  const text = textOf(name);
  if (text === "") return undefined;
  const dot = namespacing === false ? -1 : text.lastIndexOf(".");
  return dot < 0
    ? { namespace: own, name: text }
    : { namespace: text.slice(dot + 1), name: text.slice(0, dot) };
}
