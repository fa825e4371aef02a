import type { ConsumerName } from "./consumer.ts";
import { ambassadorIdsOf, fieldsOf, textOf } from "./fields.ts";
import { imitation, namedSecret, type SecretName, type SecretUser } from "./tls-context.ts";

/**
 * Emissary takes the name in `tlsSecret` as it is, and that in the context which it makes of the Host as any
 * other (emissary 4.1, `secrets.go` and `irhost.py`): a name with a dot is both, a use and an imitation.
 */
export function hostAsUser(object: unknown, holder?: ConsumerName): SecretUser {
  const { metadata, spec } = fieldsOf(object);
  const { tlsSecret, tls, acmeProvider, ambassador_id: ids } = fieldsOf(spec);
  const namespace = textOf(fieldsOf(metadata)["namespace"]);
  const { name: secret, namespace: elsewhere } = fieldsOf(tlsSecret);
  const accountKey = fieldsOf(fieldsOf(acmeProvider)["privateKeySecret"])["name"];
  const more = ["ca_secret", "crl_secret"].map((field) => fieldsOf(tls)[field]);
  const named = [
    namedSecret(secret, textOf(elsewhere) || namespace),
    ...more.map((name) => namedSecret(name, namespace)),
  ].filter((one) => one !== undefined);
  return {
    kind: "Host",
    namespace,
    name: textOf(fieldsOf(metadata)["name"]),
    ambassadorIds: ambassadorIdsOf(ids),
    ...(holder && { holder }),
    secrets: [...named, ...[secret, accountKey, ...more].flatMap((name) => imitation(name) ?? [])],
  };
}

/** Whether Emissary reads that very Secret for it, and no other that has its place. */
export function usesSecret({ secrets }: SecretUser, { namespace, name }: SecretName): boolean {
  return secrets.some((one) => one.namespace === namespace && one.name === name && one.isImitation !== true);
}
