import type { ConsumerName } from "./consumer.ts";
import { ambassadorIdsOf, fieldsOf, textOf } from "./fields.ts";
import { imitation, namedSecret, type SecretName, type SecretUser, tlsContextOf } from "./tls-context.ts";

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

/**
 * Emissary makes a Host of each entry in `spec.tls` of an Ingress of its class (emissary 4.1, `ingress.py`).
 * Which classes are its own is not known here, so each counts. One of another controller, too, reads what it
 * names without a dot.
 */
export function ingressAsUser(object: unknown): SecretUser | undefined {
  const { metadata, spec } = fieldsOf(object);
  const { namespace, name, annotations } = fieldsOf(metadata);
  const { tls, ingressClassName } = fieldsOf(spec);
  const notes = fieldsOf(annotations);
  const mayBeOfEmissary =
    textOf(ingressClassName) !== "" || /^ambassador$/i.test(textOf(notes["kubernetes.io/ingress.class"]));
  const names = (Array.isArray(tls) ? tls : [])
    .map((one) => textOf(fieldsOf(one)["secretName"]))
    .filter((one) => mayBeOfEmissary || !one.includes("."));
  return userOfNames(names, {
    kind: "Ingress",
    namespace: textOf(namespace),
    name: textOf(name),
    ambassadorIds: [textOf(notes["getambassador.io/ambassador-id"]) || "default"],
  });
}

/**
 * A Module called `tls` defines a TLSContext of each key; another one names Secrets in `upstream`, `server`
 * and `client` (emissary 4.1, `secrets.go`).
 */
export function moduleAsUsers(object: unknown, holder?: ConsumerName): SecretUser[] {
  const { metadata, spec } = fieldsOf(object);
  const { config, ambassador_id: ids } = fieldsOf(spec);
  const kind = "Module";
  const module = {
    namespace: textOf(fieldsOf(metadata)["namespace"]),
    name: textOf(fieldsOf(metadata)["name"]),
  };
  if (module.name === "tls") {
    return Object.entries(fieldsOf(config)).map(([name, fields]) =>
      tlsContextOf(
        { metadata: { ...module, name }, spec: { ...fieldsOf(fields), ambassador_id: ids } },
        holder ?? { kind, ...module },
      ),
    );
  }
  const names = ["upstream", "server", "client"].map((field) =>
    textOf(fieldsOf(fieldsOf(config)[field])["secret"]),
  );
  const ambassadorIds = ambassadorIdsOf(ids);
  return [userOfNames(names, { kind, ...module, ambassadorIds, ...(holder && { holder }) }) ?? []].flat();
}

/** What a dot means is a setting of Emissary's: it may be both, a use and an imitation. */
function userOfNames(names: readonly string[], user: Omit<SecretUser, "secrets">): SecretUser | undefined {
  const secrets = names
    .flatMap((name) => [namedSecret(name, user.namespace), imitation(name)])
    .filter((one) => one !== undefined);
  return secrets.length === 0 ? undefined : { ...user, secrets };
}

/** Whether Emissary reads that very Secret for it, and no other that has its place. */
export function usesSecret({ secrets }: SecretUser, { namespace, name }: SecretName): boolean {
  return secrets.some((one) => one.namespace === namespace && one.name === name && one.isImitation !== true);
}
