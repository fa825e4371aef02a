import { crd } from "../api/crd.ts";
import type { Status } from "../api/status.ts";
import { consumerKey } from "../emissary/consumer.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { hasStatus } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import type { ApiObject } from "../kube/object.ts";
import { list } from "../kube/pages.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { finalizerOf } from "../store/kubernetes/identity.ts";
import { type ReleaseChange, type Held, lossOf } from "./lost-rights.ts";

interface PreflightOptions extends ReleaseChange {
  readonly api: Pick<KubeClient, "request">;
}

/** Identities in use would lose attaché, and end with their leaf. */
class PreflightError extends AttacheError {
  constructor(lines: readonly string[]) {
    super("ATTACHE_PREFLIGHT", `still in use:\n${lines.map((line) => `  ${line}`).join("\n")}`);
  }
}

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

const maxNamed = 10;

function lineOf({ metadata, status }: Held, reason: string, users: NonNullable<Status["usedBy"]>): string {
  const named = users.slice(0, maxNamed).map(consumerKey);
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

/**
 * Brings the CRD of MeshCertificate to this version. One that is not there Helm installs, and GitOps tools do, which run
 * the hooks of an upgrade before they install anything. @throws StoredVersionError, ApiError
 */
export async function upgradeDefinition(api: Pick<KubeClient, "request">): Promise<void> {
  const wanted = crd() as Definition & { readonly metadata: { readonly name: string } };
  const path = pathOf(resources.customResourceDefinitions, { name: wanted.metadata.name });
  const found = await api.request<Definition>({ method: "GET", path }).catch((error: unknown) => {
    if (hasStatus(error, 404)) return undefined;
    throw error;
  });
  if (found === undefined) return;
  const known = new Set(wanted.spec.versions.map(({ name }) => name));
  const unknown = (found.status?.storedVersions ?? []).filter((version) => !known.has(version));
  if (unknown.length > 0) throw new StoredVersionError(unknown);
  const query = { fieldManager: "attache.dev/crd", force: true };
  await api.request({ method: "PATCH", path, query, contentType: "apply", body: wanted });
}
