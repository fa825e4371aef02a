import { isDeepStrictEqual } from "node:util";
import { crd } from "../api/crd.ts";
import { meshCertificate } from "../api/mesh-certificate.ts";
import { AttacheError } from "../errors/attache-error.ts";
import type { KubeClient } from "../kube/client.ts";
import { hasCode, hasStatus } from "../kube/api-error.ts";
import { apiVersionOf, pathOf, resources } from "../kube/resources.ts";
import type { Check } from "../mesh/port.ts";
import { leaseName } from "../kube/lease.ts";
import { list } from "../kube/pages.ts";
import { type Permission, permissions } from "../kube/permissions.ts";
import { secretNames, targetNames } from "../render/names.ts";
import { leadershipCheck } from "./leadership.ts";
import { versionProblem } from "../mesh/kit/versions.ts";
import { supportedVersions } from "./supported-versions.ts";

interface ClusterCheckOptions {
  readonly api: KubeClient;
  /** The namespaces that attaché acts in; `undefined` stands for all. */
  readonly namespaces: readonly (string | undefined)[];
  /** Those in which TLSContexts and those who name them are watched; `undefined` stands for all. */
  readonly consumersIn: readonly (string | undefined)[];
  /** Those of the configured Emissaries. */
  readonly emissaryNamespaces: readonly string[];
  /** Whether Mappings of any of them may be touched. */
  readonly touchesMappings: boolean;
  readonly installation: string;
  readonly clockSkewMs: number;
}

/**
 * Checks of the cluster, with the caller's rights. Only the first one runs when the API server is
 * unreachable.
 */
export async function clusterChecks(options: ClusterCheckOptions): Promise<Check[]> {
  const { api, installation } = options;
  const reached = await reachable(api);
  if (reached.status === "failed") return [reached];
  return [
    reached,
    clocks(options),
    await ownDefinition(api),
    await emissaryDefinitions(api),
    ...(await permitted(options)),
    await leadershipCheck({ api, installation, namespace: api.namespace, now: new Date() }),
  ];
}

async function reachable(api: KubeClient): Promise<Check> {
  const name = `API server ${api.server}`;
  try {
    const { gitVersion } = await api.request<{ gitVersion: string }>({ method: "GET", path: "/version" });
    const problem = versionProblem(supportedVersions.Kubernetes, gitVersion);
    const message = `answers, version ${gitVersion}`;
    return problem === undefined
      ? { name, status: "ok", message }
      : {
          name,
          status: "warning",
          message: `${message}, ${problem.message}`,
          remedy: "Test before you rely on it.",
        };
  } catch (error) {
    return failed(name, error);
  }
}

function clocks({ api, clockSkewMs }: ClusterCheckOptions): Check {
  const aheadMs = api.aheadMs ?? 0;
  const seconds = Math.round(Math.abs(aheadMs) / 1_000);
  // The API server reports its clock in whole seconds.
  const message = seconds <= 1 ? "agree" : `differ by ${seconds} s`;
  if (Math.abs(aheadMs) <= Math.max(clockSkewMs, 1_000)) return { name: "clocks", status: "ok", message };
  const remedy = `Set the clock of ${aheadMs > 0 ? "this machine" : "the API server's machine"}: leaves are judged by it.`;
  return { name: "clocks", status: "failed", message, remedy };
}

interface Definition {
  readonly spec: { readonly versions: readonly { name: string; schema: unknown }[] };
}

async function ownDefinition(api: KubeClient): Promise<Check> {
  const name = "CRD of MeshCertificate";
  const wanted = crd() as Definition & { readonly metadata: { readonly name: string } };
  const remedy = "Run: attache crd | kubectl apply --server-side -f -";
  try {
    const path = pathOf(resources.customResourceDefinitions, { name: wanted.metadata.name });
    const found = await api.request<Definition>({ method: "GET", path });
    const isCurrent = wanted.spec.versions.every(({ name: version, schema }) =>
      isDeepStrictEqual(found.spec.versions.find((one) => one.name === version)?.schema, schema),
    );
    if (isCurrent) return { name, status: "ok", message: "is there, of this version" };
    return { name, status: "warning", message: "is of another version than this attaché", remedy };
  } catch (error) {
    if (hasStatus(error, 404)) return { name, status: "failed", message: "is missing", remedy };
    return unseen(name, error);
  }
}

async function emissaryDefinitions(api: KubeClient): Promise<Check> {
  const name = "CRDs of Emissary";
  const wanted = apiVersionOf(resources.tlsContexts);
  try {
    const path = `/apis/${wanted}`;
    const found = await api.request<{ resources: readonly { name: string }[] }>({ method: "GET", path });
    const names = new Set(found.resources.map((resource) => resource.name));
    if (names.has(resources.tlsContexts.plural)) return { name, status: "ok", message: `serve ${wanted}` };
  } catch (error) {
    if (!hasStatus(error, 404)) return unseen(name, error);
  }
  const remedy = "Install the CRDs of Emissary-ingress 3 or later.";
  return { name, status: "failed", message: `${wanted} has no TLSContext`, remedy };
}

async function permitted(options: ClusterCheckOptions): Promise<Check[]> {
  const { api, namespaces, consumersIn, emissaryNamespaces, touchesMappings, installation } = options;
  const places = {
    own: [api.namespace],
    acting: namespaces,
    consumers: consumersIn,
    touches: touchesMappings ? consumersIn : [],
    emissary: emissaryNamespaces,
  };
  const wanted = permissions.flatMap((permission) =>
    places[permission.where].flatMap((namespace) =>
      permission.verbs.map((verb) => ({
        ...{ permission, namespace, verb },
        // Roles are for this one Lease; what is created has no name yet.
        name: permission.resource === "leases" && verb !== "create" ? leaseName(installation) : undefined,
      })),
    ),
  );
  const answers = await Promise.all(
    wanted.map(async (one) => ({
      ...one,
      isAllowed: (await may(api, one)) || (await mayByName(api, one)),
    })),
  );
  const missing = answers.filter(({ isAllowed }) => !isAllowed);
  if (missing.length === 0) {
    return [{ name: "permissions", status: "ok", message: `all ${wanted.length} are granted` }];
  }
  return missing.map(({ permission, namespace, verb }) => ({
    name: "permission",
    status: "failed",
    message: `may not ${verb} ${textOf(permission)} in ${namespace ?? "all namespaces"}: with it, attaché ${permission.why}`,
    remedy: remedyOf(namespace, permission.where === "consumers" && !namespaces.includes(namespace)),
  }));
}

/** @param isDispensable whether attaché can do its work without, though not all of it. */
function remedyOf(namespace: string | undefined, isDispensable: boolean): string {
  const role = namespace === undefined ? "ClusterRole" : "Role";
  const grant = `Grant it in a ${role}, as the chart does, to the account that ran this check`;
  return isDispensable
    ? `${grant}; or set store.kubernetes.consumers.clusterWide to false, which docs/kubernetes.md explains.`
    : `${grant}.`;
}

interface Access {
  readonly permission: Permission;
  readonly namespace: string | undefined;
  readonly verb: string;
  /** Of the one object; none: of all. */
  readonly name: string | undefined;
}

async function may(api: KubeClient, { permission, namespace = "", verb, name }: Access): Promise<boolean> {
  const { group, resource, subresource = "" } = permission;
  const answer = await api.request<{ status: { allowed: boolean } }>({
    method: "POST",
    path: pathOf(resources.selfSubjectAccessReviews),
    body: {
      apiVersion: apiVersionOf(resources.selfSubjectAccessReviews),
      kind: resources.selfSubjectAccessReviews.kind,
      spec: { resourceAttributes: { namespace, verb, group, resource, subresource, name } },
    },
  });
  return answer.status.allowed;
}

/**
 * Whether it is granted for the objects of each MeshCertificate there, as `rbac.identitiesOnly` of the chart
 * does.
 */
async function mayByName(api: KubeClient, access: Access): Promise<boolean> {
  const { permission, namespace } = access;
  if (permission.isNameable !== true || namespace === undefined) return false;
  const names = await targetsIn(api, namespace).catch(() => []);
  const wanted =
    permission.resource === "secrets"
      ? names.flatMap(secretNames)
      : names.map(({ tlsContext }) => tlsContext);
  const answers = await Promise.all(wanted.map((name) => may(api, { ...access, name })));
  return wanted.length > 0 && answers.every(Boolean);
}

async function targetsIn(api: KubeClient, namespace: string): Promise<ReturnType<typeof targetNames>[]> {
  const found = await list(api, resources.meshCertificates, { namespace });
  return found.flatMap((object) => {
    const { data } = meshCertificate.safeParse(object);
    return data === undefined ? [] : [targetNames(data)];
  });
}

function textOf({ group, resource, subresource }: Permission): string {
  const path = subresource === undefined ? resource : `${resource}/${subresource}`;
  return group === "" ? path : `${path}.${group}`;
}

function failed(name: string, error: unknown): Check {
  if (!(error instanceof AttacheError)) throw error;
  return { name, status: "failed", message: error.problem, remedy: error.remedy };
}

/** What the caller may not see need not be wrong. */
function unseen(name: string, error: unknown): Check {
  const check = failed(name, error);
  return hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN") ? { ...check, status: "warning" } : check;
}
