import { annotatedResources, type AnnotatedResource } from "../emissary/annotations.ts";
import { type Consumer, consumerKey, consumerKinds, consumerOf, usersOf } from "../emissary/consumer.ts";
import { fieldsOf, textOf } from "../emissary/fields.ts";
import type { Unsoundness } from "../emissary/secret-soundness.ts";
import { istioCerts, namedSecret, tlsContextOf } from "../emissary/tls-context.ts";
import { hasCode } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import { pages } from "../kube/pages.ts";
import { pathOf, type Resource, resources } from "../kube/resources.ts";
import type { Check } from "../mesh/port.ts";
import { consumerResources } from "../store/kubernetes/consumers.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import { secretUnsoundness, unsoundContexts } from "./contexts.ts";
import { fieldProblems } from "./field-problems.ts";

/**
 * Whether Emissary and Envoy can use the TLSContexts and Hosts, and the Secrets that they name, as far as the
 * caller may read them. Of a Host nothing is checked but what Envoy refuses.
 */
export async function emissaryChecks(
  api: KubeClient,
  namespaces: readonly (string | undefined)[],
): Promise<Check[]> {
  const read = await readAll(api, namespaces);
  const parts = read.flatMap((some) => some ?? []);
  const users = parts.flatMap(({ kind, object }) =>
    consumerKinds.filter((one) => one === kind).flatMap((one) => consumerOf(one, object) ?? []),
  );
  const checks = [
    ...(await checksOfContexts(api, parts, { users, areAllSeen: !read.includes(undefined) })),
    ...(await checksOfHosts(api, parts)),
    ...connectionChecks(parts),
  ];
  const name = "Secrets of TLSContexts";
  if (read[0] === undefined) {
    const remedy = "Run it with permission to list tlscontexts and get secrets.";
    const message = "not checked: no permission to list TLSContexts";
    return [{ name, status: "warning", message, remedy }, ...checks];
  }
  if (checks.some(({ status }) => status === "failed")) return checks;
  const count = parts.filter(({ kind }) => kind === "TLSContext").length;
  return [{ name, status: "ok", message: `${count} checked, as far as permissions allow` }, ...checks];
}

interface Uses {
  readonly users: readonly Consumer[];
  /** Otherwise each context may be in use. */
  readonly areAllSeen: boolean;
}

async function checksOfContexts(
  api: KubeClient,
  parts: readonly AnnotatedResource[],
  { users, areAllSeen }: Uses,
): Promise<Check[]> {
  const contexts = parts
    .filter(({ kind }) => kind === "TLSContext")
    .map(({ object }) => ({ context: tlsContextOf(object), spec: fieldsOf(fieldsOf(object)["spec"]) }));
  const unsound = await unsoundContexts(
    api,
    contexts.map(({ context }) => context),
  );
  return contexts.flatMap(({ context, spec }) => {
    const used = usersOf(context, users);
    const isUpstream = used.some(({ kind }) => kind !== "Host");
    const found = [...fieldProblems(spec, isUpstream), unsound.get(context)].filter(
      (one) => one !== undefined,
    );
    const { hosts } = spec;
    // With `hosts`, Emissary presents its leaf to clients.
    const isUsed = used.length > 0 || (Array.isArray(hosts) && hosts.length > 0) || !areAllSeen;
    const name = `TLSContext ${context.namespace}/${context.name}`;
    if (context.secret?.name !== istioCerts || found.length > 0) return checkOf(name, found, isUsed);
    const message = `its Secret ${istioCerts} comes from the Istio sidecar of Emissary, which has it in memory: not checked`;
    return [{ name: sanitizePeerText(name), status: "ok", message }];
  });
}

async function checksOfHosts(api: KubeClient, parts: readonly AnnotatedResource[]): Promise<Check[]> {
  const hosts = parts.filter(({ kind }) => kind === "Host");
  const checks = hosts.map(async ({ object }) => {
    const { metadata, spec } = fieldsOf(object);
    const { tlsSecret, tls } = fieldsOf(spec);
    const own = textOf(fieldsOf(metadata)["namespace"]);
    const { name, namespace } = fieldsOf(tlsSecret);
    const leaf = namedSecret(name, textOf(namespace) || own);
    const roots = namedSecret(fieldsOf(tls)["ca_secret"], own);
    const found = [
      ...fieldProblems(tls, false),
      await secretUnsoundness(api, leaf, "leaf"),
      await secretUnsoundness(api, roots, "roots"),
    ].filter((one) => one !== undefined);
    const refused = found.filter(({ isRefused }) => isRefused);
    return checkOf(`Host ${own}/${textOf(fieldsOf(metadata)["name"])}`, refused, true);
  });
  return (await Promise.all(checks)).flat();
}

/** How many objects a message names. */
const maxNamed = 5;

/**
 * Whose connections may outlive their leaf. When a leaf changes, Emissary replaces the cluster: Envoy closes its
 * connections as soon as no request uses them, and a TCP connection when one side closes it (observed; 1.38).
 */
function connectionChecks(parts: readonly AnnotatedResource[]): Check[] {
  const unbounded = parts.flatMap(({ kind, object }) => {
    const consumer = consumerKinds
      .filter((one) => one === kind)
      .flatMap((one) => consumerOf(one, object) ?? [])[0];
    if (consumer === undefined) return [];
    const { timeout_ms: timeout, allow_upgrade: upgrades } = fieldsOf(fieldsOf(object)["spec"]);
    const isUpgraded = Array.isArray(upgrades) && upgrades.length > 0;
    if (kind === "TCPMapping") return [consumerKey(consumer)];
    return kind === "Mapping" && (timeout === 0 || isUpgraded) ? [consumerKey(consumer)] : [];
  });
  if (unbounded.length === 0) return [];
  const named = unbounded.slice(0, maxNamed).join(", ");
  const more = unbounded.length > maxNamed ? ` and ${unbounded.length - maxNamed} more` : "";
  return [
    {
      name: "connections of consumers",
      status: "warning",
      message: sanitizePeerText(`may present an old leaf even after it has ended: ${named}${more}`),
      remedy:
        "Set `timeout_ms` of a Mapping above 0 and below the time from renewal to the end of a leaf. Nothing in Emissary bounds WebSockets and TCP connections, nor does cluster_max_connection_lifetime_ms end a request: have the upstream close them.",
    },
  ];
}

/** An object that is not in use does no harm. */
function checkOf(object: string, found: readonly Unsoundness[], isUsed: boolean): Check[] {
  if (found.length === 0) return [];
  const name = sanitizePeerText(object);
  const because = sanitizePeerText(found.map((one) => one.because).join(" "));
  if (!isUsed) return [{ name, status: "ok", message: `not in use; not fit for use: ${because}` }];
  const remedy = found.some(({ isRefused }) => isRefused)
    ? "Fix it, or remove the object: for it, Envoy refuses every new configuration, which stops all configuration of that Emissary, for all tenants."
    : "Fix it, or remove the TLSContext: its consumers send plaintext, or requests without a valid certificate.";
  return [{ name, status: "failed", message: because, remedy }];
}

const kinds: readonly Resource[] = [
  resources.tlsContexts,
  ...Object.values(consumerResources),
  resources.services,
  resources.ingresses,
];

/** What Emissary reads, by kind, TLSContexts first; `undefined` for a kind that the caller may not list. */
async function readAll(
  api: KubeClient,
  namespaces: readonly (string | undefined)[],
): Promise<(readonly AnnotatedResource[] | undefined)[]> {
  return Promise.all(
    kinds.map(async (resource) => {
      const everywhere = await readIn(api, resource, undefined);
      if (everywhere !== undefined) return everywhere;
      const named = namespaces.filter((namespace) => namespace !== undefined);
      if (named.length < namespaces.length) return undefined;
      const found = await Promise.all(named.map((namespace) => readIn(api, resource, namespace)));
      return found.includes(undefined) ? undefined : found.flatMap((some) => some ?? []);
    }),
  );
}

/** Nothing where the cluster has no such kind. */
async function readIn(
  api: KubeClient,
  resource: Resource,
  namespace: string | undefined,
): Promise<AnnotatedResource[] | undefined> {
  const isAnnotated = resource === resources.services || resource === resources.ingresses;
  const parts: AnnotatedResource[] = [];
  try {
    const path = pathOf(resource, { namespace });
    for await (const { items } of pages(api, { path, ...(isAnnotated && { accept: "metadata" }) }))
      for (const object of items)
        parts.push(...(isAnnotated ? annotatedResources(object) : [{ kind: resource.kind, object }]));
    return parts;
  } catch (error) {
    if (hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) return undefined;
    if (hasCode(error, "ATTACHE_KUBERNETES_KIND_UNKNOWN")) return [];
    throw error;
  }
}
