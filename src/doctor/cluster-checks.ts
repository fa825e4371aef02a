import { isDeepStrictEqual } from "node:util";
import { crd } from "../api/crd.ts";
import { fieldsOf } from "../emissary/fields.ts";
import type { KubeClient } from "../kube/client.ts";
import { hasCode, hasStatus } from "../kube/api-error.ts";
import { apiVersionOf, pathOf, resources } from "../kube/resources.ts";
import type { Check } from "../mesh/port.ts";
import { checked } from "./checked.ts";
import { versionProblem } from "../mesh/kit/versions.ts";
import { supportedVersions } from "./supported-versions.ts";

interface ClusterCheckOptions {
  readonly api: KubeClient;
  readonly clockSkewMs: number;
  /** Whether attaché is not installed yet: then its CRD may be missing. */
  readonly isBefore?: boolean;
}

/** Checks of the cluster. Only the first one runs when the API server is unreachable. */
export async function clusterChecks({
  api,
  clockSkewMs,
  isBefore = false,
}: ClusterCheckOptions): Promise<readonly Check[]> {
  const reached = await checked(`API server ${api.server}`, () => reachable(api));
  if (reached.some(({ status }) => status === "failed")) return reached;
  return [
    ...reached,
    clocks(api, clockSkewMs),
    ...(await checked(ownName, async () => {
      const check = await ownDefinition(api);
      return isBefore && check === missing
        ? { name: ownName, status: "ok", message: "is missing; the chart installs it" }
        : check;
    })),
    ...(await checked("CRDs of Emissary", () => emissaryDefinitions(api))),
  ];
}

async function reachable(api: KubeClient): Promise<Check> {
  const name = `API server ${api.server}`;
  const { gitVersion } = await api.request<{ gitVersion: string }>({ method: "GET", path: "/version" });
  const problem = versionProblem(supportedVersions.Kubernetes, gitVersion);
  const message = `answers, version ${gitVersion}`;
  if (problem === undefined) return { name, status: "ok", message };
  const remedy = "Test before you rely on it.";
  return { name, status: "warning", message: `${message}, ${problem.message}`, remedy };
}

function clocks(api: KubeClient, clockSkewMs: number): Check {
  const aheadMs = api.aheadMs ?? 0;
  const seconds = Math.round(Math.abs(aheadMs) / 1_000);
  // The API server reports its clock in whole seconds.
  const message = seconds <= 1 ? "agree" : `differ by ${seconds} s`;
  if (Math.abs(aheadMs) <= Math.max(clockSkewMs, 1_000)) return { name: "clocks", status: "ok", message };
  const remedy = `Set the clock of ${aheadMs > 0 ? "this machine" : "the API server's machine"}: leaves are judged by it.`;
  return { name: "clocks", status: "failed", message, remedy };
}

interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly versions: readonly { readonly name: string; readonly schema: Schema }[] };
}

interface Schema {
  readonly openAPIV3Schema?: object;
}

const ownName = "CRD of MeshCertificate";
const upgrade = "Run: attache crd | kubectl apply --server-side -f -";

async function ownDefinition(api: KubeClient): Promise<Check> {
  const wanted = crd() as Definition;
  try {
    const path = pathOf(resources.customResourceDefinitions, { name: wanted.metadata.name });
    const found = await api.request<Definition>({ method: "GET", path });
    const isCurrent = wanted.spec.versions.every(({ name: version, schema }) =>
      isDeepStrictEqual(found.spec.versions.find((one) => one.name === version)?.schema, schema),
    );
    if (isCurrent) return { name: ownName, status: "ok", message: "is there, of this version" };
    const message = "is of another version than this attaché";
    return { name: ownName, status: "warning", message, remedy: upgrade };
  } catch (error) {
    if (hasStatus(error, 404)) return missing;
    if (hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) return servedDefinition(api, wanted);
    throw error;
  }
}

const missing: Check = { name: ownName, status: "failed", message: "is missing", remedy: upgrade };

/** By what every client may read: the fields that the API server serves. */
async function servedDefinition(api: KubeClient, wanted: Definition): Promise<Check> {
  const { kind, group, version } = resources.meshCertificates;
  const path = `/openapi/v3/apis/${group}/${version}`;
  interface Served {
    readonly components: { readonly schemas: Readonly<Record<string, object>> };
  }
  const served = await api.request<Served>({ method: "GET", path }).catch((error: unknown) => {
    if (hasStatus(error, 404)) return undefined;
    throw error;
  });
  const found = Object.entries(served?.components.schemas ?? {}).find(([name]) => name.endsWith(`.${kind}`));
  if (found === undefined) return missing;
  const own = wanted.spec.versions.find(({ name }) => name === version)?.schema.openAPIV3Schema;
  const [there, here] = [fieldsIn(found[1]), fieldsIn(own)];
  const lacking = [...here].filter((field) => !there.has(field));
  const more = [...there].filter((field) => !here.has(field) && /^(?:spec|status)/.test(field));
  if (lacking.length + more.length === 0)
    return { name: ownName, status: "ok", message: "serves the fields of this version" };
  const named = lacking.length > 0 ? `it lacks ${lacking[0] ?? ""}` : `it has ${more[0] ?? ""}`;
  const message = `is of another version than this attaché: ${named}`;
  return { name: ownName, status: "warning", message, remedy: upgrade };
}

/** The paths of all fields in a JSON Schema: `spec.target.name`. */
function fieldsIn(schema: unknown, path = ""): ReadonlySet<string> {
  const { properties, items, allOf } = fieldsOf(schema);
  const inner = Object.entries(fieldsOf(properties)).flatMap(([name, one]) => {
    const at = path === "" ? name : `${path}.${name}`;
    return at.startsWith("metadata") ? [] : [at, ...fieldsIn(one, at)];
  });
  const others = [items, ...(Array.isArray(allOf) ? (allOf as unknown[]) : [])].filter(
    (one) => one !== undefined,
  );
  return new Set([...inner, ...others.flatMap((one) => [...fieldsIn(one, path)])]);
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
    if (!hasStatus(error, 404)) throw error;
  }
  const remedy = "Install the CRDs of Emissary-ingress 3 or later.";
  return { name, status: "failed", message: `${wanted} has no TLSContext`, remedy };
}
