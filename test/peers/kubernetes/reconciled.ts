import { expect, vi } from "vitest";
import type { Condition, Status } from "../../../src/api/mesh-certificate.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { defaultLimits } from "../../../src/credentials/candidate.ts";
import type { KubeClientOptions } from "../../../src/kube/client.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { noToken } from "../../conformance/no-token.ts";
import { allowAll } from "../../../src/controller/allow.ts";
import { Controller } from "../../../src/controller/controller.ts";
import { openMesh } from "../../../src/controller/open-mesh.ts";
import type { StoredObject } from "../../../src/store/kubernetes/api-object.ts";
import type { KubernetesStoreOptions } from "../../../src/store/kubernetes/kubernetes-store.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { createFakeMesh, type FakeMesh } from "../../fixtures/fake-mesh.ts";
import { noObserver } from "../../fixtures/no-observer.ts";
import type { Cluster } from "./cluster.ts";
import { type ClusterPeer, startClusterPeer } from "./store-peer.ts";

/** Reconcilers over a fake mesh and a kubernetes store, in a namespace of their own. */
export interface Reconciled extends AsyncDisposable {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly peer: ClusterPeer;
  readonly mesh: FakeMesh;
  put(name?: string, spec?: Readonly<Record<string, unknown>>): Promise<void>;
  /** As the API server has it. */
  status(name?: string): Promise<Status | undefined>;
  /** Waits until the API server has it as `STATUS/REASON`. */
  until(type: Condition["type"], is: string, name?: string): Promise<Condition>;
  /** What the API server has of the data of a Secret. */
  secret(name: string): Promise<StoredObject["data"]>;
}

export async function reconcile(
  cluster: Cluster,
  {
    timeoutMs = 30_000,
    ...options
  }: Partial<KubernetesStoreOptions & Pick<KubeClientOptions, "timeoutMs">> = {},
): Promise<Reconciled> {
  const peer = await startClusterPeer(cluster, { timeoutMs });
  const { namespace } = peer;
  const { admin } = cluster;
  const store = await peer.open(options);
  const fake = await createFakeMesh();
  const logger = createLogger(process.env["LOG"] === undefined ? "silent" : "debug");
  const mesh = openMesh(
    fake.adapter,
    { name: "consul", clock: systemClock, logger, env: {} },
    { settings: {}, source: "consul", retainMs: 3_600_000, onConnection: () => controller.wake("consul") },
  );
  const controller: Controller = new Controller({
    meshes: new Map([["consul", mesh]]),
    store,
    clock: systemClock,
    logger,
    observer: noObserver,
    serviceAccountToken: noToken,
    allow: allowAll,
    installation: "attache",
    isStoreShared: true,
    rotationWindowMs: 0,
    clockSkewMs: 60_000,
    limits: defaultLimits,
  });
  const stop = new AbortController();
  const done = controller.run(stop.signal);
  const pathTo = (name: string) => pathOf(resources.meshCertificates, { namespace, name });

  async function status(name = "storefront"): Promise<Status | undefined> {
    const { status: found } = await admin.get<StoredObject>(pathTo(name));
    return found as Status | undefined;
  }

  return {
    cluster,
    namespace,
    peer,
    mesh: fake,
    put: (name = "storefront", spec = {}) => {
      return peer.put(`${namespace}/${name}`, { consul: { service: name }, ...spec });
    },
    status,
    until: (type, is, name) =>
      vi.waitFor(
        async () => {
          const found = (await status(name))?.conditions.find((one) => one.type === type);
          if (found === undefined) throw new Error(`no condition ${type} yet`);
          expect(`${found.status}/${found.reason}`, found.message).toBe(is);
          return found;
        },
        { timeout: 45_000, interval: 50 },
      ),
    async secret(name) {
      return (await admin.get<StoredObject>(pathOf(resources.secrets, { namespace, name }))).data;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
      await mesh[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await peer[Symbol.asyncDispose]();
    },
  };
}
