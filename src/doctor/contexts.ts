import { caUnsoundness, leafUnsoundness, type SecretData } from "../emissary/secret-soundness.ts";
import { type SecretName, type TlsContext, tlsContextOf } from "../emissary/tls-context.ts";
import type { KubeClient } from "../kube/client.ts";
import { hasCode } from "../kube/api-error.ts";
import { list } from "../kube/pages.ts";
import { pathOf, type Resource, resources } from "../kube/resources.ts";
import type { Check } from "../mesh/port.ts";
import { sanitizePeerText } from "../text/peer-text.ts";

/**
 * Whether Emissary can use the Secrets of all TLSContexts, as far as they may be read: a broken one can stop
 * all configuration.
 */
export async function contextChecks(
  api: KubeClient,
  namespaces: readonly (string | undefined)[],
): Promise<Check[]> {
  const name = "Secrets of TLSContexts";
  const found = await Promise.all(namespaces.map((namespace) => contextsIfAllowed(api, namespace)));
  const contexts = distinct(found.flatMap((some) => some ?? []));
  if (found.includes(undefined)) {
    const remedy = "Run it with permission to list tlscontexts and get secrets.";
    return [{ name, status: "warning", message: "not checked: no permission to list TLSContexts", remedy }];
  }
  const unsound = await unsoundContexts(api, contexts);
  if (unsound.size === 0) {
    return [{ name, status: "ok", message: `${contexts.length} checked, as far as permissions allow` }];
  }
  return [...unsound].map(([context, because]) => ({
    name: `TLSContext ${context.namespace}/${context.name}`,
    status: "failed",
    message: sanitizePeerText(because),
    remedy:
      "Fix the Secret, or remove the TLSContext. A key that does not match or does not parse stops all configuration of that Emissary, for all tenants. With any other defect, consumers of the TLSContext send plaintext.",
  }));
}

async function contextsIfAllowed(
  api: KubeClient,
  namespace: string | undefined,
): Promise<TlsContext[] | undefined> {
  try {
    return await contextsIn(api, namespace);
  } catch (error) {
    if (hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) return undefined;
    throw error;
  }
}

/** A caller that may see all namespaces has listed each context once per namespace. */
function distinct(contexts: readonly TlsContext[]): TlsContext[] {
  return [...new Map(contexts.map((one) => [`${one.namespace}/${one.name}`, one])).values()];
}

/** A context counts in all namespaces; a caller that may not read them all sees those of `namespace`. */
export async function contextsIn(api: KubeClient, namespace: string | undefined): Promise<TlsContext[]> {
  const everywhere = await listed(api, resources.tlsContexts, undefined).catch((error: unknown) => {
    if (namespace !== undefined && hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) return undefined;
    throw error;
  });
  return (everywhere ?? (await listed(api, resources.tlsContexts, namespace))).map(tlsContextOf);
}

/** Nothing where the cluster has no such kind. */
export async function listed(
  api: KubeClient,
  resource: Resource,
  namespace: string | undefined,
): Promise<readonly unknown[]> {
  try {
    return await list(api, resource, { namespace });
  } catch (error) {
    if (hasCode(error, "ATTACHE_KUBERNETES_KIND_UNKNOWN")) return [];
    throw error;
  }
}

/** The contexts whose Secrets Emissary cannot use, and why; what the caller may not read counts as sound. */
export async function unsoundContexts(
  api: KubeClient,
  contexts: readonly TlsContext[],
): Promise<ReadonlyMap<TlsContext, string>> {
  const found = await Promise.all(
    contexts.map(async (context) => [context, await unsoundness(api, context)] as const),
  );
  return new Map(found.flatMap(([context, because]) => (because === undefined ? [] : [[context, because]])));
}

async function unsoundness(api: KubeClient, context: TlsContext): Promise<string | undefined> {
  const { secret, caSecret, hasFiles } = context;
  if (secret === undefined) return hasFiles ? undefined : "it names no secret.";
  const leaf = await secretUnsoundness(api, secret, (data) => leafUnsoundness(data, new Date()));
  if (leaf !== undefined || caSecret === undefined) return leaf;
  return secretUnsoundness(api, caSecret, caUnsoundness);
}

async function secretUnsoundness(
  api: KubeClient,
  { namespace, name }: SecretName,
  unsound: (data: SecretData) => string | undefined,
): Promise<string | undefined> {
  const what = `the Secret ${namespace}/${name}`;
  try {
    const path = pathOf(resources.secrets, { namespace, name });
    const { data = {} } = await api.request<{ data?: SecretData }>({ method: "GET", path });
    const because = unsound(data);
    return because && `of ${what}: ${because}.`;
  } catch (error) {
    if (hasCode(error, "ATTACHE_KUBERNETES_NOT_FOUND")) return `${what} does not exist.`;
    // A Secret that the caller may not read does not hide the rest.
    if (hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) return undefined;
    throw error;
  }
}
