import type { ConsumerName, ContextName } from "./consumer.ts";
import { fieldsOf, textOf } from "./fields.ts";
import { namedSecret, type SecretName, type TlsContext } from "./tls-context.ts";

/** An object that names Secrets: a TLSContext or a Host. */
export interface SecretUser extends ConsumerName {
  readonly secrets: readonly SecretName[];
  /** Of a TLSContext: its consumers use the Secrets, too. */
  readonly context?: ContextName;
}

/** `undefined` for one that names no Secret. */
export function contextAsUser({
  namespace,
  name,
  ambassadorIds,
  secrets,
}: TlsContext): SecretUser | undefined {
  const named = secrets.filter(({ isImitation }) => isImitation !== true);
  if (named.length === 0) return undefined;
  return { kind: "TLSContext", namespace, name, secrets: named, context: { name, ambassadorIds } };
}

/** `undefined` for a Host that names no Secret. */
export function hostAsUser(object: unknown): SecretUser | undefined {
  const { metadata, spec } = fieldsOf(object);
  const { tlsSecret, tls } = fieldsOf(spec);
  const namespace = textOf(fieldsOf(metadata)["namespace"]);
  const { name: secret, namespace: elsewhere } = fieldsOf(tlsSecret);
  const own = namedSecret(secret, textOf(elsewhere) || namespace);
  const more = ["ca_secret", "crl_secret"].map((field) => namedSecret(fieldsOf(tls)[field], namespace));
  const secrets = [own, ...more].filter((one) => one !== undefined);
  if (secrets.length === 0) return undefined;
  return { kind: "Host", namespace, name: textOf(fieldsOf(metadata)["name"]), secrets };
}

export function namesSecret({ secrets }: SecretUser, { namespace, name }: SecretName): boolean {
  return secrets.some((one) => one.namespace === namespace && one.name === name);
}
