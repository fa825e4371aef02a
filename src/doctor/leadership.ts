import { hasCode, hasStatus } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import { type Lease, leaseName } from "../kube/lease.ts";
import { pathOf, resources } from "../kube/resources.ts";
import type { Check } from "../mesh/port.ts";

type Requests = Pick<KubeClient, "request">;

interface LeadershipCheckOptions {
  readonly api: Requests & Pick<KubeClient, "aheadMs">;
  readonly installation: string;
  /** Where attaché runs; `undefined` looks in all namespaces. */
  readonly namespace: string | undefined;
  readonly now: Date;
}

/**
 * Whether a replica of the installation works, by its Lease: the leader renews it every few seconds, and a
 * replica that was killed cannot. Its age is taken by the API server's clock.
 * @throws ApiError if the API server fails otherwise than by refusing the caller.
 */
export async function leadershipCheck(options: LeadershipCheckOptions): Promise<Check> {
  const { api, installation, namespace, now } = options;
  const lease = leaseName(installation);
  const name = `lease ${lease}`;
  try {
    const leases = await (namespace === undefined ? everywhere(api, lease) : inOne(api, namespace, lease));
    return { name, ...judge(leases, installation, now.getTime() + (api.aheadMs ?? 0)) };
  } catch (error) {
    if (!hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) throw error;
    const message = `not known whether it works: ${error.problem}`;
    return { name, status: "warning", message, remedy: error.remedy };
  }
}

async function everywhere(api: Requests, name: string): Promise<readonly Lease[]> {
  const query = { fieldSelector: `metadata.name=${name}` };
  const path = pathOf(resources.leases);
  return (await api.request<{ readonly items: readonly Lease[] }>({ method: "GET", path, query })).items;
}

/** attaché itself may read its own Lease only. */
async function inOne(api: Requests, namespace: string, name: string): Promise<readonly Lease[]> {
  try {
    return [await api.request<Lease>({ method: "GET", path: pathOf(resources.leases, { namespace, name }) })];
  } catch (error) {
    if (hasStatus(error, 404)) return [];
    throw error;
  }
}

/** A clock of a leader may be this far behind that of the API server, besides the duration of the lease. */
const clockToleranceMs = 5_000;

/** @param leases of one name; another namespace may have an installation of the same name. */
function judge(leases: readonly Lease[], installation: string, nowMs: number): Omit<Check, "name"> {
  const [newest] = leases.toSorted((one, other) => renewedMs(other) - renewedMs(one));
  if (newest === undefined) {
    const message = `not known whether it works: no replica of the installation "${installation}" ever took a lease`;
    return { status: "warning", message, remedy: "Install attaché, or check the name of the installation." };
  }
  const { namespace, name } = newest.metadata;
  const { holderIdentity = "", leaseDurationSeconds = 15 } = newest.spec ?? {};
  const ageMs = nowMs - renewedMs(newest);
  const age = `${Math.max(0, Math.round(ageMs / 1_000))} s`;
  const isHeld = holderIdentity !== "";
  if (isHeld && ageMs <= leaseDurationSeconds * 1_000 + clockToleranceMs)
    return { status: "ok", message: `works: ${holderIdentity} leads, and renewed its lease ${age} ago` };
  const last = isHeld
    ? `${holderIdentity} renewed ${namespace}/${name} last ${age} ago`
    : `the last leader released ${namespace}/${name} ${age} ago`;
  return {
    status: "failed",
    message: `does not work: ${last}, and no replica has taken it since. Nothing is renewed.`,
    remedy: `Look at its pods and their log: kubectl -n ${namespace} get pods, kubectl -n ${namespace} logs deploy/attache.`,
  };
}

function renewedMs({ spec }: Lease): number {
  const ms = Date.parse(spec?.renewTime ?? "");
  return Number.isNaN(ms) ? 0 : ms;
}
