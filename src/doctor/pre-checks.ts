import type { KubeClient } from "../kube/client.ts";
import { type Resource, resources } from "../kube/resources.ts";
import { type AccessReview, review } from "../kube/review.ts";
import type { Check } from "../mesh/port.ts";
import { checked } from "./checked.ts";
import type { Installation } from "./installations.ts";
import { leadershipCheck } from "./leadership.ts";

const rbac = { group: "rbac.authorization.k8s.io", version: "v1" };

/** What the chart creates, in attaché's namespace or in the cluster. */
const created: readonly { readonly resource: Resource; readonly isOfCluster?: true }[] = [
  { resource: resources.customResourceDefinitions, isOfCluster: true },
  { resource: { ...rbac, plural: "clusterroles", kind: "ClusterRole" }, isOfCluster: true },
  { resource: { ...rbac, plural: "clusterrolebindings", kind: "ClusterRoleBinding" }, isOfCluster: true },
  { resource: { ...rbac, plural: "roles", kind: "Role" } },
  { resource: { ...rbac, plural: "rolebindings", kind: "RoleBinding" } },
  { resource: resources.serviceAccounts },
  { resource: resources.configMaps },
  { resource: resources.services },
  { resource: { group: "apps", version: "v1", plural: "deployments", kind: "Deployment" } },
];

/** Whether the caller can install attaché: its rights, and no other installation of the name. */
export async function preChecks(api: KubeClient, installations: readonly Installation[]): Promise<Check[]> {
  const checks = installations.map(async ({ name, home }) => [
    ...(await checked("name of the installation", () => isFree(api, name, home))),
    ...(await checked("rights to install", () => rights(api, home))),
  ]);
  return (await Promise.all(checks)).flat();
}

async function isFree(api: KubeClient, installation: string, namespace: string): Promise<Check> {
  const name = "name of the installation";
  const options = { api, installation, namespaces: [namespace], isInstalled: false };
  const { status, message } = await leadershipCheck(options);
  if (status !== "ok")
    return { name, status: "ok", message: `"${installation}" is free, as far as it is seen` };
  const remedy = "Set `installation` in the values to another name, unless this is an upgrade.";
  return { name, status: "warning", message: `"${installation}" is taken: attaché ${message}`, remedy };
}

async function rights(api: KubeClient, home: string): Promise<Check> {
  const name = "rights to install";
  const answers = await Promise.all(
    created.map(async ({ resource: { group, plural }, isOfCluster }) => {
      const namespace = isOfCluster ? "" : home;
      const { allowed } = await review<AccessReview>(api, resources.selfSubjectAccessReviews, {
        resourceAttributes: { group, resource: plural, verb: "create", namespace },
      });
      return { plural, isAllowed: allowed };
    }),
  );
  const missing = answers.filter(({ isAllowed }) => !isAllowed).map(({ plural }) => plural);
  if (missing.length === 0) return { name, status: "ok", message: `all that the chart creates in ${home}` };
  const message = `you may not create ${missing.join(", ")} for an installation in ${home}`;
  const remedy = "Install it as an administrator of the cluster, or name another namespace with -n.";
  return { name, status: "failed", message, remedy };
}
