import { hasCode, hasStatus } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import { type Lease, leaseName, settingsRefused } from "../kube/lease.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { selectorOf } from "../render/marks.ts";
import type { Check } from "../mesh/port.ts";
import { type Replica, replicasOf } from "./replicas.ts";

type Requests = Pick<KubeClient, "request">;

interface LeadershipCheckOptions {
  readonly api: Requests & Pick<KubeClient, "aheadMs">;
  readonly installation: string;
  /** Where attaché may run: the caller may not be allowed to look elsewhere. */
  readonly namespaces: readonly string[];
  /** Whether it has published something: then it must have a lease. */
  readonly isInstalled: boolean;
}

/**
 * Whether a replica of the installation works, by its Lease: the leader renews it every few seconds, and a
 * replica that was killed cannot. Its age is taken by the API server's clock.
 * @throws ApiError if the API server fails otherwise than by refusing the caller.
 */
export async function leadershipCheck(options: LeadershipCheckOptions): Promise<Check> {
  const { api, installation } = options;
  const name = `lease ${leaseName(installation)}`;
  try {
    const lease = await newestLease(options);
    if (lease === undefined) return { name, ...absent(options) };
    const replicas = await replicasOf(api, installation, lease.metadata.namespace ?? "").catch(() => []);
    return { name, ...judge(lease, replicas, installation, Date.now() + (api.aheadMs ?? 0)) };
  } catch (error) {
    if (!hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) throw error;
    const message = `not known whether it works: ${error.problem}`;
    return { name, status: "warning", message, remedy: error.remedy };
  }
}

/**
 * The lease of an installation that was renewed last: another namespace may have an installation of the same name.
 * @throws ApiError, also if the caller may not look everywhere, and there is none where it may.
 */
export async function newestLease({
  api,
  installation,
  namespaces,
}: Pick<LeadershipCheckOptions, "api" | "installation" | "namespaces">): Promise<Lease | undefined> {
  const name = leaseName(installation);
  try {
    const query = { fieldSelector: `metadata.name=${name}` };
    const path = pathOf(resources.leases);
    const { items } = await api.request<{ readonly items: readonly Lease[] }>({ method: "GET", path, query });
    return newest(items);
  } catch (error) {
    if (!hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) throw error;
    // attaché itself may read its own Lease only.
    const found = await Promise.all(namespaces.map((namespace) => leaseIn(api, namespace, name)));
    const lease = newest(found.flatMap((one) => one ?? []));
    if (lease === undefined && !found.includes("absent")) throw error;
    return lease;
  }
}

function newest(leases: readonly (Lease | "absent")[]): Lease | undefined {
  return leases
    .filter((one) => one !== "absent")
    .toSorted((one, other) => renewedMs(other.spec) - renewedMs(one.spec))[0];
}

/** `undefined` if the caller may not read it. */
async function leaseIn(
  api: Requests,
  namespace: string,
  name: string,
): Promise<Lease | "absent" | undefined> {
  try {
    return await api.request<Lease>({ method: "GET", path: pathOf(resources.leases, { namespace, name }) });
  } catch (error) {
    if (hasStatus(error, 404)) return "absent";
    if (hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) return undefined;
    throw error;
  }
}

function absent({ installation, isInstalled }: LeadershipCheckOptions): Omit<Check, "name"> {
  const there = `no replica of the installation "${installation}" has a lease`;
  if (!isInstalled) {
    const remedy = "Install attaché, or check the name and namespace of the installation.";
    return { status: "warning", message: `not known whether it works: ${there}`, remedy };
  }
  return {
    status: "failed",
    message: `does not work: ${there}. Nothing is renewed.`,
    remedy: `Install attaché again with the installation "${installation}", or start its replicas.`,
  };
}

/** A clock of a leader may be this far behind that of the API server, besides the duration of the lease. */
const clockToleranceMs = 5_000;

function judge(
  { metadata: { namespace = "", name, annotations }, spec }: Lease,
  replicas: readonly Replica[],
  installation: string,
  nowMs: number,
): Omit<Check, "name"> {
  const { holderIdentity = "", leaseDurationSeconds = 15, renewTime = "" } = spec ?? {};
  const ageMs = nowMs - renewedMs(spec);
  const age = `${Math.max(0, Math.round(ageMs / 1_000))} s`;
  const ready = replicas.filter(({ isReady }) => isReady).length;
  const counted = replicas.length === 0 ? "" : `; ${ready} of ${replicas.length} replicas are ready`;
  const isHeld = holderIdentity !== "";
  if (isHeld && ageMs <= leaseDurationSeconds * 1_000 + clockToleranceMs) {
    const message = `works: ${holderIdentity} leads, and renewed its lease ${age} ago${counted}`;
    const [at, code = ""] = annotations?.[settingsRefused]?.split(" ") ?? [];
    if (at === undefined) return { status: "ok", message };
    return {
      status: "warning",
      message: `${message}. It refused the settings in its file at ${at} (${code}); the old ones stay in force`,
      remedy: "Correct them: its next start would fail. The Event SettingsRefused says what is wrong.",
    };
  }
  const last = isHeld
    ? `${holderIdentity} renewed ${namespace}/${name} last ${age} ago`
    : `the last leader released ${namespace}/${name} ${age} ago`;
  const selector = replicas.length === 0 ? "" : ` -l ${selectorOf(installation)}`;
  const logs = selector === "" ? "deploy/attache" : `${selector.trim()} --prefix`;
  return {
    status: "failed",
    message: `does not work: ${last}, at ${renewTime}, and no replica has taken it since${counted}. Nothing is renewed.`,
    remedy: `Look at its pods and their log: kubectl -n ${namespace} get pods${selector}, kubectl -n ${namespace} logs ${logs}.`,
  };
}

function renewedMs(spec: Lease["spec"]): number {
  const ms = Date.parse(spec?.renewTime ?? "");
  return Number.isNaN(ms) ? 0 : ms;
}
