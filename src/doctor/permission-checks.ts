import { meshCertificate } from "../api/mesh-certificate.ts";
import { ApiError } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import { leaseName } from "../kube/lease.ts";
import { list } from "../kube/pages.ts";
import { type Permission, permissions } from "../kube/permissions.ts";
import { resources } from "../kube/resources.ts";
import { type AccessReview, review } from "../kube/review.ts";
import type { Check } from "../mesh/port.ts";
import { secretNames, targetNames } from "../render/names.ts";
import type { Replica } from "./replicas.ts";

interface PermissionCheckOptions {
  readonly api: KubeClient;
  /** attaché's own namespace; that of the caller's context by default. */
  readonly home?: string | undefined;
  /** The namespaces that attaché acts in; `undefined` stands for all. */
  readonly namespaces: readonly (string | undefined)[];
  /** Those in which TLSContexts and those who name them are watched; `undefined` stands for all. */
  readonly consumersIn: readonly (string | undefined)[];
  /** Those of the configured Emissaries. */
  readonly emissaryNamespaces: readonly string[];
  /** Whether Mappings of any of them may be touched. */
  readonly touchesMappings: boolean;
  /** Whether the console asks for tokens. */
  readonly reviewsTokens: boolean;
  readonly installation: string;
  /** `system:serviceaccount:NAMESPACE:NAME`, whose permissions are checked; the caller by default. */
  readonly account?: string | undefined;
}

/**
 * What attaché may not do, and what it needs it for.
 * @throws ApiError, also if the caller may not ask about another account
 */
export async function permissionChecks(options: PermissionCheckOptions): Promise<Check[]> {
  const { api, namespaces, consumersIn, emissaryNamespaces, touchesMappings, reviewsTokens, installation } =
    options;
  const { account, home = api.namespace } = options;
  const places = {
    own: [home],
    acting: namespaces,
    consumers: consumersIn,
    touches: touchesMappings ? consumersIn : [],
    emissary: emissaryNamespaces,
    console: reviewsTokens ? [undefined] : [],
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
      isAllowed: (await may(api, one, account)) || (await mayByName(api, one, account)),
    })),
  );
  const missing = answers.filter(({ isAllowed }) => !isAllowed);
  if (missing.length === 0) {
    return [
      {
        name: "permissions",
        status: "ok",
        message: `all ${wanted.length} are granted${account === undefined ? "" : ` to ${account}`}`,
      },
    ];
  }
  return missing.map(({ permission, namespace, verb }) => ({
    name: "permission",
    status: "failed",
    message: `${account === undefined ? "" : `${account} `}may not ${verb} ${textOf(permission)} in ${namespace ?? "all namespaces"}: with it, attaché ${permission.why}`,
    remedy: remedyOf(namespace, account, permission.where === "consumers" && !namespaces.includes(namespace)),
  }));
}

/** @param isDispensable whether attaché can do its work without, though not all of it. */
function remedyOf(
  namespace: string | undefined,
  account: string | undefined,
  isDispensable: boolean,
): string {
  const role = namespace === undefined ? "ClusterRole" : "Role";
  const grant = `Grant it in a ${role}, as the chart does, to ${account ?? "the account that ran this check"}`;
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

async function may(
  api: KubeClient,
  { permission, namespace = "", verb, name }: Access,
  account: string | undefined,
): Promise<boolean> {
  const { group, resource, subresource = "" } = permission;
  const kind = account === undefined ? resources.selfSubjectAccessReviews : resources.subjectAccessReviews;
  const { allowed } = await review<AccessReview>(api, kind, {
    resourceAttributes: { namespace, verb, group, resource, subresource, name },
    ...(account !== undefined && { user: account, groups: groupsOf(account) }),
  });
  return allowed;
}

/** Those that the API server gives each ServiceAccount. */
function groupsOf(account: string): string[] {
  const namespace = account.split(":")[2] ?? "";
  return ["system:authenticated", "system:serviceaccounts", `system:serviceaccounts:${namespace}`];
}

/**
 * Whether it is granted for the objects of each MeshCertificate there, as `rbac.identitiesOnly` of the chart
 * does.
 */
async function mayByName(api: KubeClient, access: Access, account: string | undefined): Promise<boolean> {
  const { permission, namespace } = access;
  if (permission.isNameable !== true || namespace === undefined) return false;
  const names = await targetsIn(api, namespace).catch(() => []);
  const wanted =
    permission.resource === "secrets"
      ? names.flatMap(secretNames)
      : names.map(({ tlsContext }) => tlsContext);
  const answers = await Promise.all(wanted.map((name) => may(api, { ...access, name }, account)));
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

/**
 * The account that attaché runs as; `undefined` if it is the caller's own.
 * @param isAtHome whether this process has attaché's settings: then it is taken for attaché.
 * @throws ApiError if it is not known
 */
export async function accountOf(
  api: KubeClient,
  replica: Replica | undefined,
  isAtHome: boolean,
): Promise<string | undefined> {
  const caller = await callerOf(api);
  if (replica === undefined) {
    if (isAtHome || caller?.startsWith("system:serviceaccount:")) return undefined;
    throw new ApiError(
      "ATTACHE_KUBERNETES_FORBIDDEN",
      "the ServiceAccount of attaché is not known: the caller sees no pod of it",
      { remedy: "Run the doctor with the right to list pods in attaché's namespace, or in its pod." },
    );
  }
  const account = `system:serviceaccount:${replica.namespace}:${replica.serviceAccount}`;
  return account === caller ? undefined : account;
}

async function callerOf(api: KubeClient): Promise<string | undefined> {
  const caller = await review<{ userInfo?: { username?: string } } | undefined>(
    api,
    resources.selfSubjectReviews,
  ).catch(() => undefined);
  return caller?.userInfo?.username;
}
