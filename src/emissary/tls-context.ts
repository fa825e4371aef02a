import type { ConsumerName } from "./consumer.ts";
import { ambassadorIdsOf, fieldsOf, textOf } from "./fields.ts";

/** An object that names Secrets. */
export interface SecretUser extends ConsumerName {
  readonly kind: "TLSContext" | "Host" | "Ingress" | "Module";
  readonly ambassadorIds: readonly string[];
  /** All that it names: leaf, roots and revocation list. */
  readonly secrets: readonly SecretUse[];
  /** The Service or Ingress in whose annotation it stands, or its Module; absent for an object. */
  readonly holder?: ConsumerName;
}

/** Any TLSContext, reduced to what matters to its consumers. */
export interface TlsContext extends SecretUser {
  readonly kind: "TLSContext";
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

export interface SecretUse extends SecretName {
  /**
   * It names `NAME.NAMESPACE` of its own namespace, as a Host does, or a TLSContext with
   * `secret_namespacing: false`. Emissary keeps that Secret in the place of NAME in NAMESPACE (observed;
   * 4.1).
   */
  readonly isImitation?: true;
}

/**
 * The Secret that Emissary itself makes, in its own namespace and memory, of the files of an Istio sidecar in
 * `AMBASSADOR_ISTIO_SECRET_DIR` (emissary 4.1, `cmd/entrypoint/istiocert.go`): no object of the API server
 * has it. It holds leaf and key, and no roots.
 */
export const istioCerts = "istio-certs";

/** Takes objects of any shape: the CRD may be any version's. */
export function tlsContextOf(object: unknown, holder?: ConsumerName): TlsContext {
  const { metadata, spec } = fieldsOf(object);
  const fields = fieldsOf(spec);
  const namespace = textOf(fieldsOf(metadata)["namespace"]);
  const secretNamed = (name: unknown) => namedSecret(name, namespace, fields["secret_namespacing"]);
  const named = [fields["secret"], fields["ca_secret"], fields["crl_secret"]];
  const [secret, caSecret, crlSecret] = named.map(secretNamed);
  const imitated = fields["secret_namespacing"] === false ? named.flatMap((one) => imitation(one) ?? []) : [];
  return {
    kind: "TLSContext",
    namespace,
    name: textOf(fieldsOf(metadata)["name"]),
    ambassadorIds: ambassadorIdsOf(fields["ambassador_id"]),
    ...(holder && { holder }),
    secret,
    caSecret,
    secrets: [...[secret, caSecret, crlSecret].filter((one) => one !== undefined), ...imitated],
    hasFiles: textOf(fields["cert_chain_file"]) !== "",
  };
}

/** Absent if the name has no dot. */
export function imitation(name: unknown): SecretUse | undefined {
  const text = textOf(name);
  return text.includes(".") ? { ...split(text), isImitation: true } : undefined;
}

function split(text: string): SecretName {
  const dot = text.lastIndexOf(".");
  return { namespace: text.slice(dot + 1), name: text.slice(0, dot) };
}

/**
 * `NAME.NAMESPACE`, split at the last dot as Emissary does; with `secret_namespacing: false` a dot means
 * nothing.
 */
export function namedSecret(name: unknown, own: string, namespacing?: unknown): SecretName | undefined {
  const text = textOf(name);
  if (text === "") return undefined;
  return namespacing === false || !text.includes(".") ? { namespace: own, name: text } : split(text);
}
