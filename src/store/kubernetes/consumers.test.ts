import { describe, expect, it, vi } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import type { StoreCluster } from "../../../test/peers/kubernetes/store-peer.ts";
import { runStore } from "../../../test/peers/kubernetes/store-run.ts";
import type { KubeClient, WatchEvent, WatchRequest } from "../../kube/client.ts";
import { pathOf, type Resource, resources } from "../../kube/resources.ts";
import { FreshLook } from "./consumers.ts";

/** A cluster whose watch of Mappings reports nothing new before `until`. */
function lagging(until: Promise<unknown>): StoreCluster {
  const cluster = fakeCluster();
  const api: KubeClient = { ...cluster.api(), watch };
  async function* watch<T>(request: WatchRequest, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
    for await (const event of cluster.api().watch<T>(request, signal)) {
      if (request.path.endsWith("/mappings") && event.type !== "BOOKMARK") await until;
      yield event;
    }
  }
  return { ...cluster, api: () => api };
}

async function published() {
  const released = Promise.withResolvers<undefined>();
  const run = await runStore(lagging(released.promise), { uses: undefined });
  const identity = await run.put("web");
  await run.store.apply(identity, targetOf(identity, "1"));
  const { namespace } = run;
  await run.cluster.admin.create(pathOf(resources.mappings, { namespace }), {
    metadata: { name: "shop", namespace },
    spec: { prefix: "/", service: "web", tls: "web" },
  });
  expect(run.store.usesOf(identity)).toEqual([]);
  const tell = async () => {
    released.resolve(undefined);
    await vi.waitFor(() => expect(run.store.usesOf(identity)).toHaveLength(1));
  };
  return { run, identity, tell };
}

const names = async ({ peer }: Awaited<ReturnType<typeof published>>["run"]) =>
  (await peer.objects()).map(({ metadata }) => metadata.name).toSorted();

describe("a use that the watch has not reported yet", () => {
  it("keeps what is to be withdrawn", async () => {
    const { run, identity, tell } = await published();
    await using _ = run;
    await run.peer.remove(`${run.namespace}/web`);
    await expect(run.store.withdraw(identity)).rejects.toThrow("ATTACHE_STORE_IN_USE");
    expect(await names(run)).toEqual(["web", "web-mesh-ca", "web-mesh-cert"]);
    await tell();
    await expect(run.store.withdraw(identity)).rejects.toThrow("ATTACHE_STORE_IN_USE");
  });

  it("keeps a context that has another name by now, and what it names", async () => {
    const { run, tell } = await published();
    await using _ = run;
    const target = { secret: "new-leaf", tlsContext: { name: "new" } };
    const renamed = await run.put("web", { target });
    await run.store.apply(renamed, targetOf(renamed, "2"));
    expect(await names(run)).toEqual(["new", "new-leaf", "web", "web-mesh-ca", "web-mesh-cert"]);
    await tell();
    await run.store.apply(renamed, targetOf(renamed, "2"));
    expect(await names(run)).toEqual(["new", "new-leaf", "web", "web-mesh-ca"]);
    const { namespace } = run;
    const old = await run.cluster.admin.get(pathOf(resources.tlsContexts, { namespace, name: "web" }));
    expect(old["spec"]).toMatchObject({ secret: "new-leaf" });
  });
});

describe("an ambassador_id that a context is to lose", () => {
  it("stays as long as a Mapping of that Emissary names the context", async () => {
    await using run = await runStore(fakeCluster(), { uses: undefined });
    const { namespace } = run;
    const identity = await run.put("web");
    const withIds = (...ids: string[]) => {
      const [ca, leaf, context] = targetOf(identity, "1");
      if (context.kind !== "TLSContext") throw new Error("the third is the context");
      return [ca, leaf, { ...context, spec: { ...context.spec, ambassador_id: ids } }];
    };
    const path = (resource: Resource, name?: string) => pathOf(resource, { namespace, name });
    const idsOf = async () => {
      const found = await run.cluster.admin.get(path(resources.tlsContexts, "web"));
      return (found["spec"] as { readonly ambassador_id: unknown }).ambassador_id;
    };
    await run.store.apply(identity, withIds("default", "edge", "old"));
    await run.cluster.admin.create(path(resources.mappings), {
      metadata: { name: "shop", namespace },
      spec: { prefix: "/", service: "web", tls: "web", ambassador_id: ["edge"] },
    });
    // The watch may be behind.
    await run.store.apply(identity, withIds("default"));
    expect(await idsOf()).toContain("edge");
    await vi.waitFor(() => expect(run.store.usesOf(identity)).toHaveLength(1));
    await run.store.apply(identity, withIds("default"));
    expect(await idsOf()).toEqual(["default", "edge"]);
    expect(await run.store.apply(identity, withIds("default"))).toEqual({ writes: 0 });

    await run.cluster.admin.delete(path(resources.mappings, "shop"));
    await vi.waitFor(() => expect(run.store.usesOf(identity)).toEqual([]));
    expect(await run.store.apply(identity, withIds("default"))).toEqual({ writes: 1 });
    expect(await idsOf()).toEqual(["default"]);
  });
});

it("a Mapping that comes again with nothing that counts enqueues no identity", async () => {
  await using run = await runStore(fakeCluster(), { uses: undefined });
  const { namespace, store, cluster } = run;
  const identity = await run.put("web");
  await store.apply(identity, targetOf(identity, "1"));
  const names = Array.from({ length: 100 }, (_, index) => `shop-${index}`);
  const path = (name?: string) => pathOf(resources.mappings, { namespace, ...(name && { name }) });
  for (const name of names)
    await cluster.admin.create(path(), {
      metadata: { name, namespace },
      spec: { prefix: "/", service: "web", tls: "web" },
    });
  await vi.waitFor(() => expect(store.usesOf(identity)).toHaveLength(names.length));
  const stop = new AbortController();
  const enqueued: string[] = [];
  const read = (async () => {
    for await (const { type } of store.watch(stop.signal)) enqueued.push(type);
  })();
  await vi.waitFor(() => expect(enqueued).toContain("synced"));
  enqueued.splice(0);
  const listener = vi.fn();
  using _listening = store.onConsumers(listener);

  const before = store.mappings;
  for (const name of names)
    await cluster.admin.patch(path(name), { metadata: { annotations: { again: "1" } } });
  await cluster.admin.patch(path("shop-0"), { spec: { tls: "other" } });
  await vi.waitFor(() => expect(enqueued).toEqual(["uses"]));
  expect(store.mappings).not.toEqual(before);
  expect(listener.mock.calls.map(([context]: unknown[]) => context)).toEqual(["web", "other"]);
  stop.abort(new Error("the test is over"));
  await expect(read).rejects.toThrow("the test is over");
});

it("a look is shared by all who asked before it began, and answers no later question", async () => {
  const begun: PromiseWithResolvers<string>[] = [];
  const look = new FreshLook(() => {
    const one = Promise.withResolvers<string>();
    begun.push(one);
    return one.promise;
  });
  const first = look.now();
  const others = [look.now(), look.now()];
  expect(begun).toHaveLength(1);
  begun[0]?.reject(new Error("the test says no"));
  await expect(first).rejects.toThrow("the test says no");
  await expect.poll(() => begun.length).toBe(2);
  begun[1]?.resolve("second");
  expect(await Promise.all(others)).toEqual(["second", "second"]);
  const last = look.now();
  begun[2]?.resolve("third");
  expect(await last).toBe("third");
  expect(begun).toHaveLength(3);
});
