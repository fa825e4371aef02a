import { keyOf } from "../api/mesh-certificate.ts";
import { type Consumer, consumerKinds, consumerOf } from "../emissary/consumer.ts";
import { type Exposure, exposuresOf } from "../emissary/exposure.ts";
import type { TlsContext } from "../emissary/tls-context.ts";
import { hasCode } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import { targetNames } from "../render/names.ts";
import { consumerResources } from "../store/kubernetes/consumers.ts";
import { viewCluster } from "../store/kubernetes/view.ts";
import { contextsIn, listed, unsoundContexts } from "./contexts.ts";

/** All that names a TLSContext, and which of it is exposed. */
export interface SeenConsumers {
  readonly consumers: readonly Consumer[];
  readonly exposures: readonly Exposure[];
}

interface ExposureScope {
  readonly api: KubeClient;
  /** Of the consumers; `undefined`: all. */
  readonly namespace: string | undefined;
  /** Whether the Secrets of the contexts are read, one request for each: a context can be unsound. */
  readonly readsSecrets: boolean;
}

/** What the objects say of each consumer. @throws ApiError */
export async function exposuresIn({ api, namespace, readsSecrets }: ExposureScope): Promise<SeenConsumers> {
  const consumers = await consumersIn(api, namespace);
  const names = new Set(consumers.map(({ context }) => context));
  const contexts = (await contextsIn(api, namespace)).filter(({ name }) => names.has(name));
  const unsound = readsSecrets ? await unsoundContexts(api, contexts) : new Map<TlsContext, never>();
  const publishers = await publishersIn(api, namespace);
  const exposures = exposuresOf(consumers, contexts, {
    unsoundness: (context) => unsound.get(context)?.because,
    publishers: () => publishers,
  });
  return { consumers, exposures };
}

/** As {@link exposuresIn} without Secrets; `undefined`: the caller may not list the consumers. */
export function exposuresIfAllowed(
  api: KubeClient,
  namespace: string | undefined,
): Promise<SeenConsumers | undefined> {
  return exposuresIn({ api, namespace, readsSecrets: false }).catch((error: unknown) => {
    if (hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) return undefined;
    throw error;
  });
}

async function consumersIn(api: KubeClient, namespace: string | undefined): Promise<Consumer[]> {
  const found = await Promise.all(
    consumerKinds.map(async (kind) => {
      const objects = await listed(api, consumerResources[kind], namespace);
      return objects.flatMap((object) => consumerOf(kind, object) ?? []);
    }),
  );
  return found.flat();
}

/** The MeshCertificates, by the name of the TLSContext that each publishes. */
async function publishersIn(
  api: KubeClient,
  namespace: string | undefined,
): Promise<ReadonlyMap<string, string>> {
  const { views } = await viewCluster(api, { namespace }).catch((error: unknown) => {
    if (isUnseen(error)) return { views: [] };
    throw error;
  });
  return new Map(views.map(({ identity }) => [targetNames(identity).tlsContext, keyOf(identity)]));
}

/** A kind that is forbidden to the user, or unknown to the cluster, does not hide the others. */
function isUnseen(error: unknown): boolean {
  return hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN", "ATTACHE_KUBERNETES_KIND_UNKNOWN");
}
