import { X509Certificate } from "node:crypto";
import {
  caUnsoundness,
  leafUnsoundness,
  type SecretData,
  type Unsoundness,
} from "../emissary/secret-soundness.ts";
import { istioCerts, type SecretName, type TlsContext, tlsContextOf } from "../emissary/tls-context.ts";
import type { KubeClient } from "../kube/client.ts";
import { hasCode } from "../kube/api-error.ts";
import { list } from "../kube/pages.ts";
import { pathOf, type Resource, resources } from "../kube/resources.ts";

/** A context counts in all namespaces; a caller that may not read them all sees those of `namespace`. */
export async function contextsIn(api: KubeClient, namespace: string | undefined): Promise<TlsContext[]> {
  const everywhere = await listed(api, resources.tlsContexts, undefined).catch((error: unknown) => {
    if (namespace !== undefined && hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) return undefined;
    throw error;
  });
  return (everywhere ?? (await listed(api, resources.tlsContexts, namespace))).map((object) =>
    tlsContextOf(object),
  );
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
): Promise<ReadonlyMap<TlsContext, Unsoundness>> {
  const found = await Promise.all(
    contexts.map(async (context) => [context, await contextUnsoundness(api, context)] as const),
  );
  return new Map(found.flatMap(([context, because]) => (because === undefined ? [] : [[context, because]])));
}

async function contextUnsoundness(api: KubeClient, context: TlsContext): Promise<Unsoundness | undefined> {
  const { secret, caSecret, hasFiles } = context;
  if (secret === undefined)
    return hasFiles ? undefined : { because: "it names no secret.", isRefused: false };
  const found = [
    await secretUnsoundness(api, secret, "leaf"),
    await secretUnsoundness(api, caSecret, "roots"),
  ];
  return found.find((one) => one?.isRefused) ?? found.find((one) => one !== undefined);
}

/** Of a Secret that an object names; nothing if it names none, or one that Emissary itself makes. */
export async function secretUnsoundness(
  api: KubeClient,
  secret: SecretName | undefined,
  content: "leaf" | "roots",
): Promise<Unsoundness | undefined> {
  if (secret === undefined) return undefined;
  const what = `the Secret ${secret.namespace}/${secret.name}`;
  const data = await dataOf(api, secret);
  if (data === "missing" && secret.name === istioCerts) return undefined;
  if (data === "missing") return { because: `${what} does not exist.`, isRefused: false };
  if (data === undefined) return undefined;
  const found = content === "leaf" ? leafUnsoundness(data, new Date()) : caUnsoundness(data);
  return found && { ...found, because: `of ${what}: ${found.because}.` };
}

/** Of the leaf's key; `undefined` where it is no EC key, or cannot be read. */
export async function leafCurve(
  api: KubeClient,
  secret: SecretName | undefined,
): Promise<string | undefined> {
  const data = secret === undefined ? undefined : await dataOf(api, secret);
  if (data === undefined || data === "missing") return undefined;
  try {
    const text = Buffer.from(data["tls.crt"] ?? "", "base64");
    return new X509Certificate(text).publicKey.asymmetricKeyDetails?.namedCurve;
  } catch {
    return undefined;
  }
}

/** `undefined`: the caller may not read it, which does not hide the rest. */
async function dataOf(
  api: KubeClient,
  { namespace, name }: SecretName,
): Promise<SecretData | "missing" | undefined> {
  try {
    const path = pathOf(resources.secrets, { namespace, name });
    const { data = {} } = await api.request<{ data?: SecretData }>({ method: "GET", path });
    return data;
  } catch (error) {
    if (hasCode(error, "ATTACHE_KUBERNETES_NOT_FOUND")) return "missing";
    if (hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) return undefined;
    throw error;
  }
}
