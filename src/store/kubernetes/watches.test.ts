import { expect, it, onTestFinished, vi } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { stateWith } from "../../../test/fixtures/state.ts";
import { startClusterPeer } from "../../../test/peers/kubernetes/store-peer.ts";
import { ApiError } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { readiness } from "../../server/probes.ts";

it("readiness names each kind whose watch fails or that the API server does not know, and for how long", async () => {
  const cluster = fakeCluster();
  const errors = new Map([
    ["secrets", new ApiError("ATTACHE_KUBERNETES_FORBIDDEN", "no right to watch", { status: 403 })],
    ["hosts", new ApiError("ATTACHE_KUBERNETES_KIND_UNKNOWN", "404 page not found", { status: 404 })],
  ]);
  const inner = cluster.api();
  const errorOf = (path: string) => [...errors].find(([plural]) => path.endsWith(`/${plural}`))?.[1];
  const api: KubeClient = {
    ...inner,
    request<T>(request: Parameters<KubeClient["request"]>[0]) {
      const error = errorOf(request.path);
      return error === undefined ? inner.request<T>(request) : Promise.reject(error);
    },
    async *watch<T>(request: Parameters<KubeClient["watch"]>[0], signal: AbortSignal) {
      const error = errorOf(request.path);
      if (error !== undefined) throw error;
      yield* inner.watch<T>(request, signal);
    },
  };
  const peer = await startClusterPeer(cluster);
  onTestFinished(() => peer[Symbol.asyncDispose]());
  const clock = manualClock();
  const store = await peer.open({ api, clock, uses: undefined });
  onTestFinished(() => store[Symbol.asyncDispose]());
  const place = ` in namespace ${peer.namespace}`;
  const notes = () =>
    readiness(stateWith({ watches: store.watches }), true).lines.filter((line) =>
      line.startsWith("[!] watch"),
    );

  await vi.waitFor(() => expect(notes()).toHaveLength(2));
  clock.stall(35_000);
  expect(notes()).toEqual([
    `[!] watch of secrets${place}: failing for 35 s, ATTACHE_KUBERNETES_FORBIDDEN`,
    `[!] watch of hosts${place}: absent for 35 s, ATTACHE_KUBERNETES_KIND_UNKNOWN`,
  ]);

  errors.clear();
  await vi.waitFor(async () => {
    await clock.advance(60_000);
    expect(notes()).toEqual([]);
  });
});
