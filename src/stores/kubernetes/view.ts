import { keyOf, type MeshIdentity } from "../../api/mesh-identity.ts";
import { type Api } from "../../kubernetes/api.ts";
import { pathOf, type Resource, resources } from "../../kubernetes/resources.ts";
import type { Manifest } from "../../render/manifest.ts";
import { targetNames } from "../../render/names.ts";
import { StoreError } from "../errors.ts";
import type { IdentityView, StoreView } from "../view.ts";
import type { StoredObject } from "./api-object.ts";
import { hasStatus } from "./has-status.ts";
import { seenIdentity } from "./identity.ts";
import { manifestOf } from "./manifest-of.ts";

/**
 * What is in a cluster, with the rights of whoever looks: the MeshIdentities of a namespace, or of all.
 * @throws ApiError
 */
export async function viewCluster(api: Api, namespace: string | undefined): Promise<StoreView> {
  const path = pathOf(resources.meshIdentities, { namespace });
  const { items } = await api.request<{ readonly items: readonly StoredObject[] }>({ method: "GET", path });
  const views: IdentityView[] = [];
  const problems: StoreError[] = [];
  for (const { content, status } of items.map(seenIdentity)) {
    if (content instanceof StoreError) problems.push(content);
    else views.push({ identity: content, status, manifests: () => manifestsOf(content, api) });
  }
  return {
    views: views.toSorted((one, other) => (keyOf(one.identity) < keyOf(other.identity) ? -1 : 1)),
    problems,
  };
}

async function manifestsOf(identity: MeshIdentity, api: Api): Promise<Manifest[]> {
  const { secret, caSecret, tlsContext } = targetNames(identity);
  const { namespace } = identity.metadata;
  const get = async (resource: Resource, kind: Manifest["kind"], name: string): Promise<Manifest[]> => {
    try {
      const path = pathOf(resource, { namespace, name });
      return [manifestOf(kind, await api.request<StoredObject>({ method: "GET", path }))];
    } catch (error) {
      if (hasStatus(error, 404)) return [];
      throw error;
    }
  };
  const found = await Promise.all([
    get(resources.secrets, "Secret", caSecret),
    get(resources.secrets, "Secret", secret),
    get(resources.tlsContexts, "TLSContext", tlsContext),
  ]);
  return found.flat();
}
