import { keyOf, type MeshCertificate } from "../../api/mesh-certificate.ts";
import { hasStatus } from "../../kube/api-error.ts";
import { type KubeClient } from "../../kube/client.ts";
import { startInformer } from "../../kube/informer.ts";
import type { ApiObject } from "../../kube/object.ts";
import { pages } from "../../kube/pages.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import type { Manifest } from "../../render/manifest.ts";
import { targetObjects } from "../../render/names.ts";
import { createLogger } from "../../telemetry/logger.ts";
import type { IdentityView, StoreView } from "../store.ts";
import { StoreError } from "../store.ts";
import { manifestOf, resourceOf, type StoredObject } from "./api-object.ts";
import { installationOf, type SeenIdentity, seenIdentity } from "./identity.ts";

/** Which MeshCertificates of a cluster are viewed. */
export interface ViewScope {
  /** `undefined`: all. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
}

/**
 * What is in a cluster, with the caller's rights.
 * @throws ApiError
 */
export async function viewCluster(
  api: KubeClient,
  { namespace, labelSelector }: ViewScope = {},
): Promise<StoreView> {
  const path = pathOf(resources.meshCertificates, { namespace });
  const identities: SeenIdentity[] = [];
  for await (const { items } of pages(api, { path, query: { labelSelector } }))
    identities.push(...items.map(seen));
  return viewOf(identities, api);
}

/** The same, kept up to date. */
export interface FollowedView extends AsyncDisposable {
  /** As last seen; what keeps more from being seen is one of its problems. */
  readonly current: StoreView;
}

/** @param known what is there until more is seen. */
export function followCluster(
  api: KubeClient,
  { namespace, labelSelector }: ViewScope,
  known: StoreView,
): FollowedView {
  const reflector = startInformer({
    ...{ api, namespace, reduce: seen },
    ...(labelSelector !== undefined && { labelSelector }),
    resource: resources.meshCertificates,
    logger: createLogger("silent"),
  });
  return {
    get current() {
      const { isSynced, error } = reflector.health;
      const { views, problems } = isSynced ? viewOf(reflector.items.values(), api) : known;
      return { views, problems: error === undefined ? problems : [...problems, error] };
    },
    [Symbol.asyncDispose]: () => reflector[Symbol.asyncDispose](),
  };
}

function seen(object: ApiObject): SeenIdentity {
  return seenIdentity(object as StoredObject);
}

function viewOf(identities: Iterable<SeenIdentity>, api: KubeClient): StoreView {
  const views: IdentityView[] = [];
  const problems: StoreError[] = [];
  for (const { content, status, finalizers } of identities) {
    if (content instanceof StoreError) problems.push(content);
    else {
      const installations = finalizers.flatMap((one) => installationOf(one) ?? []);
      views.push({ identity: content, status, installations, manifests: () => manifestsOf(content, api) });
    }
  }
  return {
    views: views.toSorted((one, other) => (keyOf(one.identity) < keyOf(other.identity) ? -1 : 1)),
    problems,
  };
}

async function manifestsOf(identity: MeshCertificate, api: KubeClient): Promise<Manifest[]> {
  const found = await Promise.all(
    targetObjects(identity).map(async ({ kind, namespace, name }) => {
      try {
        const path = pathOf(resourceOf[kind], { namespace, name });
        return manifestOf(kind, await api.request<StoredObject>({ method: "GET", path }));
      } catch (error) {
        if (hasStatus(error, 404)) return undefined;
        throw error;
      }
    }),
  );
  return found.filter((manifest) => manifest !== undefined);
}
