import assert from "node:assert/strict";
import { ApiError } from "../../../src/kube/api-error.ts";
import type { ApiRequest, KubeClient, KubeClientOptions } from "../../../src/kube/client.ts";
import { namedBy, pathOf, resources } from "../../../src/kube/resources.ts";
import type { Manifest } from "../../../src/render/manifest.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { noUses } from "../../fixtures/no-uses.ts";
import { manifestOf, type StoredObject } from "../../../src/store/kubernetes/api-object.ts";
import {
  type KubernetesStore,
  type KubernetesStoreOptions,
  openKubernetesStore,
} from "../../../src/store/kubernetes/kubernetes-store.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import type { StorePeer } from "../../conformance/store-subject.ts";
import type { Cluster } from "./cluster.ts";

/** A namespace of a cluster as the place of a store, and what the store does there. */
export interface ClusterPeer extends StorePeer {
  open(options?: Partial<KubernetesStoreOptions>): Promise<KubernetesStore>;
  /** Every request of the stores since the start but for watches, `PATCH secrets/storefront-mesh-ca`, also what failed. */
  readonly requests: readonly string[];
  /** What requests failed with. */
  readonly failures: readonly unknown[];
  /** Called before each request of a store; what it throws is the API server's refusal. */
  intercept: (request: ApiRequest) => Promise<void> | void;
  /** Called after each request that succeeded; what it throws is as if the answer were lost. */
  afterwards: (request: ApiRequest) => Promise<void> | void;
}

/** As much of a cluster as the store needs: a real one, or one in memory. */
export type StoreCluster = Pick<Cluster, "access" | "admin" | "api" | "namespace">;

const resourceOf = { Secret: resources.secrets, TLSContext: resources.tlsContexts };

export async function startClusterPeer(
  cluster: StoreCluster,
  options: Partial<KubeClientOptions> = {},
): Promise<ClusterPeer> {
  const { admin } = cluster;
  const namespace = await cluster.namespace();
  const api = cluster.api(cluster.access, { namespace, ...options });
  const changes: string[] = [];
  const requests: string[] = [];
  const failures: unknown[] = [];
  let statusWrites = 0;
  let writesLeft = Infinity;

  async function request<T>(asked: ApiRequest): Promise<T> {
    const name = nameIn(asked);
    requests.push(`${asked.method} ${name}`);
    await peer.intercept(asked);
    const change = changeOf(asked);
    if (change !== undefined) refuseIfFull(asked, change);
    const answer = await api.request<T>(asked).catch((error: unknown) => {
      failures.push(error);
      throw error;
    });
    if (change !== undefined) changes.push(change);
    if (name.startsWith("meshcertificates/status")) statusWrites += 1;
    await peer.afterwards(asked);
    return answer;
  }

  const seen: KubeClient = {
    server: api.server,
    namespace,
    get aheadMs() {
      return api.aheadMs;
    },
    request,
    watch: (asked, signal) => api.watch(asked, signal),
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };

  function refuseIfFull({ method }: ApiRequest, change: string): void {
    if (method === "DELETE") return;
    writesLeft -= 1;
    if (writesLeft < 0)
      throw new ApiError("ATTACHE_KUBERNETES_QUOTA", `no room for ${change}`, { status: 403 });
  }

  const peer: ClusterPeer = {
    installation: "attache",
    namespace,
    requests,
    failures,
    intercept: () => undefined,
    afterwards: () => undefined,
    open: (options) =>
      Promise.resolve(
        openKubernetesStore({
          api: seen,
          namespaces: [namespace],
          installation: "attache",
          meshes: new Set(["consul"]),
          uses: noUses,
          clock: systemClock,
          logger: createLogger(process.env["LOG"] === undefined ? "silent" : "debug"),
          ...options,
        }),
      ),
    async put(key, spec) {
      const [, name] = key.split("/");
      await admin.apply(pathOf(resources.meshCertificates, { namespace, name }), {
        apiVersion: "attache.dev/v1alpha1",
        kind: "MeshCertificate",
        metadata: { name, namespace },
        spec,
      });
    },
    async remove(key) {
      const [, name] = key.split("/");
      await admin.delete(pathOf(resources.meshCertificates, { namespace, name }));
    },
    async objects() {
      const kinds = ["Secret", "TLSContext"] as const;
      const lists = kinds.map(async (kind) => {
        const { items } = await admin.get<{ items: StoredObject[] }>(pathOf(resourceOf[kind], { namespace }));
        return items.map((object) => manifestOf(kind, object));
      });
      return (await Promise.all(lists)).flat();
    },
    async putObject(manifest) {
      const path = pathTo(manifest);
      const { status, body } = await admin.call("GET", path);
      const found = status === 200 ? (body as StoredObject).metadata : undefined;
      const object = {
        ...manifest,
        metadata: { ...manifest.metadata, resourceVersion: found?.resourceVersion },
      };
      const answer =
        found === undefined
          ? await admin.call("POST", pathOf(resourceOf[manifest.kind], { namespace }), object)
          : await admin.call("PUT", path, object);
      assert.ok(answer.status < 300, JSON.stringify(answer.body));
    },
    removeObject: (manifest) => admin.delete(pathTo(manifest)),
    changes: () => changes,
    statusWrites: () => statusWrites,
    allowWrites: (count) => (writesLeft = count),
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
  return peer;
}

function pathTo({ kind, metadata: { namespace, name } }: Manifest): string {
  return pathOf(resourceOf[kind], { namespace, name });
}

function nameIn({ path, body }: ApiRequest): string {
  const { resource = path, name = nameOf(body) } = namedBy(path) ?? {};
  return `${resource}/${name}`;
}

function nameOf(body: unknown): string {
  return (body as { metadata?: { name?: string } } | undefined)?.metadata?.name ?? "";
}

/** `+Secret/storefront-mesh-ca`, for a write of what is published. */
function changeOf(request: ApiRequest): string | undefined {
  const { group, resource } = namedBy(request.path) ?? {};
  if (request.method === "GET" || (resource !== "secrets" && resource !== "tlscontexts")) return undefined;
  const kind = group === "" ? "Secret" : "TLSContext";
  return `${request.method === "DELETE" ? "-" : "+"}${kind}/${nameIn(request).split("/")[1] ?? ""}`;
}
