import { keyOf } from "../api/mesh-certificate.ts";
import { conditionOf } from "../api/status.ts";
import { consumerKey } from "../emissary/consumer.ts";
import { hasCode } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import type { Check } from "../mesh/port.ts";
import { exposuresIfAllowed } from "./exposures.ts";
import { causesIn, exposedIn } from "./identity-problems.ts";
import { someOf } from "../text/some-of.ts";
import { viewCluster } from "../store/kubernetes/view.ts";
import type { IdentityView } from "../store/store.ts";

/**
 * What attaché has reported in the status of MeshCertificates and concerns more than one of them: whether the
 * ingress is frozen, and names that others take.
 */
export async function statusChecks(
  api: KubeClient,
  namespaces: readonly (string | undefined)[],
): Promise<Check[]> {
  const found = await Promise.all(namespaces.map((namespace) => viewsIn(api, namespace)));
  const views = found.flatMap((some) => some ?? []);
  return [
    frozen(views, !found.includes(undefined)),
    ...(await exposed(api, namespaces, views)),
    ...views.flatMap(conflict),
    ...identities(views),
  ];
}

/** How many objects a message names. */
const maxNamed = 5;

async function exposed(
  api: KubeClient,
  namespaces: readonly (string | undefined)[],
  views: readonly IdentityView[],
): Promise<Check[]> {
  const seen = await Promise.all(namespaces.map((namespace) => exposuresIfAllowed(api, namespace)));
  const uses = exposedIn(
    views,
    seen.flatMap((some) => some?.exposures ?? []),
  );
  if (uses.length === 0) return [];
  const named = uses.map((use) => `${consumerKey(use)} (${use.exposure ?? ""})`);
  const remedy = "Run `attache status --mappings` for the reason of each, and what to change.";
  return [{ name: "consumers", status: "failed", message: `exposed: ${someOf(named, maxNamed)}`, remedy }];
}

/** One check for each cause; what the ingress makes of identities is checked apart. */
function identities(views: readonly IdentityView[]): Check[] {
  return causesIn(views, new Date())
    .filter(({ type }) => type !== "Served" && type !== "Protected")
    .map(({ type, mesh, message, having }) => ({
      name: `${having.length === 1 ? "identity" : `${having.length} identities`} of mesh ${mesh}`,
      status: ["Ready", "SourceReady", "Leaf", "Root"].includes(type) ? "failed" : "warning",
      message: `${type}: ${message} (${someOf(
        having.map(({ key }) => key),
        maxNamed,
      )})`,
      remedy: "Run `attache inspect NAME` for one of them: it shows what is published, and until when.",
    }));
}

/** `undefined`: the caller may not list them. Nothing where the cluster has no such kind. */
async function viewsIn(
  api: KubeClient,
  namespace: string | undefined,
): Promise<readonly IdentityView[] | undefined> {
  try {
    return (await viewCluster(api, { namespace })).views;
  } catch (error) {
    if (hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) return undefined;
    if (hasCode(error, "ATTACHE_KUBERNETES_KIND_UNKNOWN")) return [];
    throw error;
  }
}

function frozen(views: readonly IdentityView[], areAllSeen: boolean): Check {
  const name = "configuration of the ingress";
  const served = views.map((view) => ({ view, condition: conditionOf(view.status, "Served") }));
  const first = served.find(
    ({ condition }) => condition?.status === "False" && condition.reason === "Frozen",
  );
  if (first?.condition !== undefined) {
    const { message } = first.condition;
    return {
      name,
      status: "failed",
      message: `FROZEN, as the MeshCertificate ${keyOf(first.view.identity)} reports: ${message}`,
      remedy:
        "Fix the TLSContexts and Hosts that failed a check here; if none did, run it with permission to get all Secrets.",
    };
  }
  const stalled = served.find(({ condition }) => condition?.reason === "Stalled");
  if (stalled?.condition !== undefined) {
    const { message } = stalled.condition;
    const remedy = "Fix the TLSContexts and Hosts that failed a check here; if none did, see Emissary's log.";
    return { name, status: "warning", message: `may be frozen: ${message}`, remedy };
  }
  if (served.some(({ condition }) => condition?.status === "True" && condition.reason === "Served")) {
    const message = "not frozen at the last rotation: every pod has loaded what attaché published";
    return { name, status: "ok", message };
  }
  const remedy = areAllSeen
    ? "Set `emissary` in the settings, and see the condition Served of the MeshCertificates."
    : "Run it with permission to list meshcertificates.";
  const message = "not known to be frozen or not: no MeshCertificate reports what the ingress has loaded";
  return { name, status: "warning", message, remedy };
}

const conflictReasons = ["ContextNameTaken", "SecretNameTaken", "SecretNamedFromOutside"];

function conflict(view: IdentityView): Check[] {
  const { status, reason = "", message = "" } = conditionOf(view.status, "Protected") ?? {};
  if (status !== "False" || !conflictReasons.includes(reason)) return [];
  const remedy =
    "Remove the other object, or choose other names under spec.target; the chart's admission policy keeps tenants from it.";
  return [{ name: `names of MeshCertificate ${keyOf(view.identity)}`, status: "failed", message, remedy }];
}
