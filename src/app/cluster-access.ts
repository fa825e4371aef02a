import { AttacheError } from "../errors/attache-error.ts";
import type { Clock } from "../runtime/clock.ts";
import type { KubeClient } from "../kube/client.ts";
import { ApiError, hasCode, hasStatus } from "../kube/api-error.ts";
import type { ApiObject } from "../kube/object.ts";
import { startInformer } from "../kube/informer.ts";
import { pathOf, type Resource, resources } from "../kube/resources.ts";
import type { Cluster, ServiceAccountToken, TokenRequest } from "../mesh/port.ts";
import { MeshError, type MeshErrorCode } from "../mesh/errors.ts";
import { LatestValue } from "../runtime/latest-value.ts";
import type { Logger } from "../telemetry/logger.ts";

interface ClusterOptions {
  /** Asked for whenever something is wanted. */
  readonly api: () => Promise<KubeClient>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A Kubernetes cluster as adapters may use it. */
export class ClusterAccess implements Cluster {
  readonly #options: ClusterOptions;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  configMap(name: string, signal: AbortSignal): AsyncIterable<Readonly<Record<string, string>> | undefined> {
    const resource = resources.configMaps;
    const pick = ({ data = {} }: ApiObject) => data as Readonly<Record<string, string>>;
    return this.#follow({ resource, isOwn: true, name, pick }, signal);
  }

  clusterTrustBundle(name: string, signal: AbortSignal): AsyncIterable<string | undefined> {
    const resource = resources.clusterTrustBundles;
    const pick = ({ spec }: ApiObject) =>
      (spec as { readonly trustBundle?: string } | undefined)?.trustBundle;
    return this.#follow({ resource, isOwn: false, name, pick }, signal);
  }

  /** Mints a token of a ServiceAccount in `namespace`. @throws MeshError `ATTACHE_MESH_TOKEN` */
  async serviceAccountToken(namespace: string, request: TokenRequest): Promise<ServiceAccountToken> {
    const { serviceAccount: name, audiences, expirationSeconds, signal } = request;
    try {
      const api = await this.#options.api();
      const { status } = await api.request<{ status: { token: string; expirationTimestamp: string } }>({
        method: "POST",
        path: pathOf(resources.serviceAccounts, { namespace, name, subresource: "token" }),
        body: {
          apiVersion: "authentication.k8s.io/v1",
          kind: "TokenRequest",
          spec: { audiences, expirationSeconds },
        },
        signal,
      });
      return { token: status.token, expiresAt: new Date(status.expirationTimestamp) };
    } catch (error) {
      signal.throwIfAborted();
      throw meshErrorOf("ATTACHE_MESH_TOKEN", error, tokenRemedy(error, namespace, name));
    }
  }

  /** Begins with one GET, which reports missing rights: the informer after it only retries. */
  async *#follow<T>(wanted: Wanted<T>, signal: AbortSignal): AsyncGenerator<T | undefined> {
    const { clock, logger } = this.#options;
    const { resource, isOwn, name, pick } = wanted;
    const { api, object } = await this.#look(wanted, signal);
    const values = new LatestValue<T | undefined>();
    values.publish(object && pick(object));
    await using _reflector = startInformer({
      api,
      resource,
      ...(isOwn && { namespace: api.namespace }),
      fieldSelector: `metadata.name=${name}`,
      reduce: pick,
      changed: ({ after }) => values.publish(after),
      logger,
      clock,
    });
    yield* values.subscribe(signal);
  }

  async #look<T>({ resource, isOwn, name }: Wanted<T>, signal: AbortSignal): Promise<Look> {
    try {
      const api = await this.#options.api();
      const path = pathOf(resource, { name, ...(isOwn && { namespace: api.namespace }) });
      const object = await api
        .request<ApiObject>({ method: "GET", path, signal })
        .catch((error: unknown) => (hasStatus(error, 404) ? undefined : Promise.reject(error as Error)));
      return { api, object };
    } catch (error) {
      signal.throwIfAborted();
      throw meshErrorOf("ATTACHE_MESH_CLUSTER", error, lookRemedy(error, name));
    }
  }
}

/** One object, by its name. */
interface Wanted<T> {
  readonly resource: Resource;
  /** Whether it stands in attaché's own namespace, or in none. */
  readonly isOwn: boolean;
  readonly name: string;
  readonly pick: (object: ApiObject) => T | undefined;
}

interface Look {
  readonly api: KubeClient;
  readonly object: ApiObject | undefined;
}

function lookRemedy(error: unknown, name: string): string | undefined {
  if (!hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) return undefined;
  return `${error.remedy} The rule needs get, list and watch, resourceNames [${name}].`;
}

function tokenRemedy(error: unknown, namespace: string, name: string): string | undefined {
  if (hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) {
    return `Give attaché's ServiceAccount a Role in namespace ${namespace}: verb create on serviceaccounts/token, resourceNames [${name}]. The chart makes one for each identity in its values.`;
  }
  return hasStatus(error, 404)
    ? `Make the ServiceAccount ${name} in namespace ${namespace}, or name another one.`
    : undefined;
}

/** Returns anything but a failure of the cluster unchanged. */
function meshErrorOf(code: MeshErrorCode, error: unknown, remedy?: string): unknown {
  if (!(error instanceof AttacheError)) return error;
  const retryAfterMs = error instanceof ApiError ? error.retryAfterMs : undefined;
  return new MeshError(code, error.problem, {
    remedy: remedy ?? error.remedy,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    cause: error,
  });
}
