import { isIP } from "node:net";
import type { Clock } from "../runtime/clock.ts";
import type { EmissarySettings } from "../config/emissary.ts";
import { fieldsOf, textOf } from "../emissary/fields.ts";
import type { KubeClient } from "../kube/client.ts";
import type { ApiObject } from "../kube/object.ts";
import { startInformer, type Informer, type InformerHealth } from "../kube/informer.ts";
import { pages } from "../kube/pages.ts";
import { pathOf, resources } from "../kube/resources.ts";
import type { Logger } from "../telemetry/logger.ts";
import { hostAndPort } from "../text/host.ts";

export interface Pod {
  readonly name: string;
  readonly address: string;
}

interface PodsOptions {
  readonly api: KubeClient;
  readonly namespace: string;
  readonly service: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onChange: () => void;
}

/** The pods of a Service that take traffic, from its EndpointSlices. */
export interface Pods extends AsyncDisposable {
  readonly health: InformerHealth;
  /** By name and address: a StatefulSet uses the names of its pods again. */
  readonly all: ReadonlyMap<string, Pod>;
}

export function watchPods({ service, onChange, ...options }: PodsOptions): Pods {
  const slices: Informer<readonly Endpoint[]> = startInformer({
    ...options,
    resource: resources.endpointSlices,
    labelSelector: selectorOf(service),
    reduce: endpointsIn,
    changed: onChange,
  });
  slices.synced.then(onChange, () => undefined);
  return {
    get health() {
      return slices.health;
    },
    get all() {
      const pods = podsOfAll([...slices.items.values()].flat());
      return new Map(pods.map((pod) => [`${pod.name}/${pod.address}`, pod]));
    },
    [Symbol.asyncDispose]: () => slices[Symbol.asyncDispose](),
  };
}

/** As they are now. @throws ApiError */
export async function podsOf(api: KubeClient, namespace: string, service: string): Promise<readonly Pod[]> {
  const path = pathOf(resources.endpointSlices, { namespace });
  const endpoints: Endpoint[] = [];
  for await (const { items } of pages(api, { path, query: { labelSelector: selectorOf(service) } }))
    endpoints.push(...items.flatMap(endpointsIn));
  return podsOfAll(endpoints);
}

/** The URL of the pod's metrics. */
export function urlOf({ address }: Pod, { port, path }: Pick<EmissarySettings, "port" | "path">): string {
  return `http://${hostAndPort(address, port)}${path}`;
}

function selectorOf(service: string): string {
  return `kubernetes.io/service-name=${service}`;
}

/** Of one slice; Kubernetes puts a hundred endpoints into one. */
const maxEndpoints = 1_000;

interface Endpoint extends Pod {
  /** One for all addresses of a pod. */
  readonly id: string;
}

/**
 * A pod of a dual-stack Service is in a slice of each family. It counts once, by IPv4: it may not listen on
 * IPv6.
 */
function podsOfAll(endpoints: readonly Endpoint[]): readonly Pod[] {
  const pods = new Map<string, Pod>();
  for (const { id, name, address } of endpoints)
    if (!pods.has(id) || isIP(address) === 4) pods.set(id, { name, address });
  return [...pods.values()];
}

function endpointsIn({ endpoints }: ApiObject): readonly Endpoint[] {
  if (!Array.isArray(endpoints)) return [];
  return endpoints.slice(0, maxEndpoints).flatMap((endpoint: unknown) => {
    const { addresses, conditions, targetRef } = fieldsOf(endpoint);
    const [address] = Array.isArray(addresses) ? (addresses as unknown[]) : [];
    // Pods that are not ready, or end, get no traffic. Without the condition a pod is ready.
    if (typeof address !== "string" || isIP(address) === 0 || fieldsOf(conditions)["ready"] === false)
      return [];
    const { name, uid } = fieldsOf(targetRef);
    return [{ id: textOf(uid) || address, name: textOf(name) || address, address }];
  });
}
