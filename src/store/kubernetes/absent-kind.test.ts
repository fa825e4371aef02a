import { setImmediate } from "node:timers/promises";
import { expect, it, onTestFinished, vi } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { startClusterPeer } from "../../../test/peers/kubernetes/store-peer.ts";
import { ApiError } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import type { StoreEvent } from "../store.ts";

/** How soon a kind that returns is noticed: long before a back-off ends. */
const noticeMs = 1_000;

const absent = new ApiError("ATTACHE_KUBERNETES_KIND_UNKNOWN", "404 page not found", { status: 404 });

interface Definition {
  isInstalled: boolean;
  /** Ends the watches that there are, as the API server does when the CRD goes. */
  end: AbortController;
}

/** A client whose API server does not know MeshCertificates while their CRD is not installed. */
function withDefinition(inner: KubeClient, definition: Definition, isSplit: boolean): KubeClient {
  return {
    ...inner,
    request<T>(request: Parameters<KubeClient["request"]>[0]) {
      if (request.path !== "/apis/attache.dev/v1alpha1") return inner.request<T>(request);
      const list = { resources: [{ name: "meshcertificates" }] };
      return definition.isInstalled ? Promise.resolve(list as T) : Promise.reject(absent);
    },
    async *watch<T>(request: Parameters<KubeClient["watch"]>[0], signal: AbortSignal) {
      if (!request.path.endsWith("/meshcertificates")) {
        yield* inner.watch<T>(request, signal);
        return;
      }
      if (!definition.isInstalled) throw absent;
      const { end } = definition;
      try {
        for await (const event of inner.watch<T>(request, AbortSignal.any([signal, end.signal]))) {
          if (isSplit) await setImmediate();
          yield event;
        }
      } catch (error) {
        if (!end.signal.aborted || signal.aborted) throw error;
      }
    },
  };
}

it.each([
  ["in one chunk", false],
  ["in a chunk for each event", true],
])(
  "a CRD that is removed and returned ten times is reported at once, whether lists come %s",
  async (_, isSplit) => {
    const cluster = fakeCluster();
    const peer = await startClusterPeer(cluster);
    const clock = manualClock();
    const definition: Definition = { isInstalled: true, end: new AbortController() };
    const api = withDefinition(cluster.api(), definition, isSplit);
    const store = await peer.open({ api, clock });
    onTestFinished(() => store[Symbol.asyncDispose]());
    const over = new AbortController();
    onTestFinished(() => over.abort());
    const events: StoreEvent[] = [];
    void (async () => {
      for await (const event of store.watch(over.signal)) events.push(event);
    })().catch(() => undefined);
    await vi.waitFor(() => expect(events).toMatchObject([{ type: "synced" }]));

    for (let round = 1; round <= 10; round += 1) {
      events.splice(0);
      definition.isInstalled = false;
      definition.end.abort();
      await vi.waitFor(() =>
        expect(events).toMatchObject([{ type: "invalid", error: { code: "ATTACHE_STORE_UNREADABLE" } }]),
      );

      await peer.put(`${peer.namespace}/web-${round}`, { consul: { service: "web" } });
      definition.isInstalled = true;
      definition.end = new AbortController();
      await clock.advance(noticeMs);
      await vi.waitFor(() =>
        expect(events.slice(1)).toMatchObject([
          { type: "identity", identity: { metadata: { name: `web-${round}` } } },
        ]),
      );
    }
  },
);
