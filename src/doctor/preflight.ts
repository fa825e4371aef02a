import { crd } from "../api/crd.ts";
import { type IdentityKey, keyOf } from "../api/mesh-certificate.ts";
import type { Use } from "../api/status.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { hasStatus } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import type { ApiObject } from "../kube/object.ts";
import { list } from "../kube/pages.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { finalizerOf } from "../store/kubernetes/identity.ts";

/** What a release of the chart leaves attaché. */
export interface NextRelease {
  /** Where it may act; `undefined`: everywhere. */
  readonly namespaces: readonly string[] | undefined;
  /** The MeshCertificates of the release, also those that it retires. */
  readonly identities: readonly IdentityKey[];
  readonly meshes: readonly string[];
}

/** Of Helm. */
export interface Release {
  readonly name: string;
  readonly namespace: string;
}

interface PreflightOptions {
  readonly api: Pick<KubeClient, "request">;
  readonly installation: string;
  readonly release: Release;
  readonly next: NextRelease;
  /** Whether attaché is uninstalled. */
  readonly isEnd: boolean;
}

/** Identities in use would lose attaché, and end with their leaf. */
class PreflightError extends AttacheError {
  constructor(lines: readonly string[]) {
    super("ATTACHE_PREFLIGHT", `still in use:\n${lines.map((line) => `  ${line}`).join("\n")}`);
  }
}

/** A MeshCertificate, as far as it matters here. */
type Held = ApiObject & {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: { readonly usedBy?: readonly Use[]; readonly usedByCount?: number };
};

/**
 * Checks that nothing in use loses attaché with the next release.
 * @throws PreflightError that names the identities and their consumers; ApiError
 */
export async function preflight(options: PreflightOptions): Promise<void> {
  const { api, installation } = options;
  const lines = (await listAll(api))
    .filter(({ metadata }) => metadata.finalizers?.includes(finalizerOf(installation)) === true)
    .flatMap((held) => {
      const reason = lossOf(held, options);
      const users = held.status?.usedBy ?? [];
      return reason === undefined || users.length === 0 ? [] : [lineOf(held, reason, users)];
    });
  if (lines.length > 0) throw new PreflightError(lines);
}

/** All MeshCertificates of the cluster. @throws ApiError */
export async function listAll(api: Pick<KubeClient, "request">): Promise<readonly Held[]> {
  return list(api, resources.meshCertificates, {}).catch((error: unknown) => {
    // No CRD, and so nothing that could be lost.
    if (hasStatus(error, 404)) return [];
    throw error;
  });
}

/** Whether Helm has created an object with a release, by the marks that it leaves. */
export function isOfRelease({ metadata: { annotations = {} } }: Held, { name, namespace }: Release): boolean {
  return (
    annotations["meta.helm.sh/release-name"] === name &&
    annotations["meta.helm.sh/release-namespace"] === namespace
  );
}

/** Of another installation of the same name, in another namespace, nothing is known but where it acts. */
function lossOf(held: Held, { release, next, isEnd }: PreflightOptions): string | undefined {
  const { metadata, spec = {} } = held;
  const { namespace = "", annotations = {} } = metadata;
  const home = annotations["meta.helm.sh/release-namespace"];
  const isOwn = isOfRelease(held, release);
  const isInReach = next.namespaces?.includes(namespace) !== false;
  if (!isOwn && (home !== undefined || !isInReach)) return undefined;
  if (isEnd) return "attaché is uninstalled";
  if (!isInReach) return `the namespace ${namespace} is no longer named`;
  if (isOwn && !next.identities.includes(keyOf({ metadata: { ...metadata, namespace } })))
    return "it is no longer among `identities`";
  const mesh = spec["mesh"] ?? ["consul", "istio", "spiffe"].find((source) => spec[source] !== undefined);
  return typeof mesh === "string" && !next.meshes.includes(mesh)
    ? `the mesh ${mesh} is no longer enabled`
    : undefined;
}

const maxNamed = 10;

function lineOf({ metadata, status }: Held, reason: string, users: readonly Use[]): string {
  const named = users.slice(0, maxNamed).map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`);
  const more = (status?.usedByCount ?? users.length) - named.length;
  const and = more > 0 ? ` and ${more} more` : "";
  return `MeshCertificate ${metadata.namespace}/${metadata.name}, used by ${named.join(", ")}${and}: ${reason}`;
}

interface Definition extends ApiObject {
  readonly spec: { readonly versions: readonly { readonly name: string }[] };
  readonly status?: { readonly storedVersions?: readonly string[] };
}

/** The stored objects have a version that the CRD of this attaché does not know. */
class StoredVersionError extends AttacheError {
  constructor(versions: readonly string[]) {
    super(
      "ATTACHE_PREFLIGHT",
      `MeshCertificates are stored as ${versions.join(", ")}, which this version of the CRD does not know`,
      { remedy: "Install a version of attaché that knows it, or migrate the stored objects first." },
    );
  }
}

/** Brings the CRD of MeshCertificate to this version, if the cluster has one. @throws StoredVersionError, ApiError */
export async function upgradeDefinition(api: Pick<KubeClient, "request">): Promise<void> {
  const wanted = crd() as Definition & { readonly metadata: { readonly name: string } };
  const path = pathOf(resources.customResourceDefinitions, { name: wanted.metadata.name });
  const found = await api.request<Definition>({ method: "GET", path });
  const known = new Set(wanted.spec.versions.map(({ name }) => name));
  const unknown = (found.status?.storedVersions ?? []).filter((version) => !known.has(version));
  if (unknown.length > 0) throw new StoredVersionError(unknown);
  const query = { fieldManager: "attache.dev/crd", force: true };
  await api.request({ method: "PATCH", path, query, contentType: "apply", body: wanted });
}
