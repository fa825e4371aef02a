import { apiVersion, kind } from "../../api/mesh-certificate.ts";
import { hasCode } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { leaseName } from "../../kube/lease.ts";
import { list } from "../../kube/pages.ts";
import { apiVersionOf, pathOf, resources } from "../../kube/resources.ts";
import { finalizerOf } from "./identity.ts";

interface EndingNamespaceOptions {
  readonly api: Pick<KubeClient, "request" | "namespace">;
  readonly installation: string;
  /** The field manager of this installation. */
  readonly manager: string;
  readonly signal: AbortSignal;
}

/**
 * The last act of an attaché that ends because its own namespace is deleted: it removes its finalizers there,
 * which would keep the namespace for ever. Kubernetes deletes pods first, so no attaché comes after it.
 * @returns how many identities it let go of.
 * @throws ApiError
 */
export async function leaveEndingNamespace(options: EndingNamespaceOptions): Promise<number> {
  if (!(await isEnding(options))) return 0;
  const { api, installation, manager, signal } = options;
  const { namespace } = api;
  const all = await list(api, resources.meshCertificates, { namespace }, signal);
  const held = all.filter(({ metadata }) => metadata.finalizers?.includes(finalizerOf(installation)));
  for (const { metadata } of held) {
    const { name, uid } = metadata;
    await api.request({
      method: "PATCH",
      path: pathOf(resources.meshCertificates, { namespace, name }),
      query: { fieldManager: manager, force: true },
      contentType: "apply",
      body: { apiVersion, kind, metadata: { name, namespace, uid, finalizers: [] } },
      signal,
    });
  }
  return held.length;
}

/** Asked by a dry run, as attaché may not read namespaces: a namespace that ends takes no new objects. */
async function isEnding({ api, installation, signal }: EndingNamespaceOptions): Promise<boolean> {
  const { leases } = resources;
  const metadata = { name: leaseName(installation) };
  const body = { apiVersion: apiVersionOf(leases), kind: leases.kind, metadata };
  const path = pathOf(leases, { namespace: api.namespace });
  const answer = api.request({ method: "POST", path, query: { dryRun: "All" }, body, signal });
  return answer.then(
    () => false,
    (error: unknown) => hasCode(error, "ATTACHE_KUBERNETES_NAMESPACE_ENDS"),
  );
}
