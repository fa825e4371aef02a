import { describe, expect, it, vi } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { runStore, type StoreRun } from "../../../test/peers/kubernetes/store-run.ts";
import { pathOf, resources } from "../../kube/resources.ts";

/** Acts in one namespace, and sees who uses what in all. */
async function published(consumersIn: readonly string[] | undefined) {
  const clock = manualClock();
  const cluster = fakeCluster();
  const run = await runStore(cluster, { uses: undefined, clock, ...(consumersIn && { consumersIn }) });
  const identity = await run.put("web");
  await run.store.apply(identity, targetOf(identity, "1"));
  const elsewhere = await cluster.namespace();
  return { run, identity, clock, elsewhere };
}

function createMapping({ cluster: { admin } }: StoreRun, namespace: string, tls: string): Promise<unknown> {
  return admin.create(pathOf(resources.mappings, { namespace }), {
    metadata: { name: "shop", namespace },
    spec: { prefix: "/", service: "web", tls },
  });
}

describe("what names a context in a namespace that attaché does not act in", () => {
  it("counts as a use: a deletion waits for it, and so does the end of the finalizer", async () => {
    const { run, identity, elsewhere } = await published([]);
    await using _ = run;
    await createMapping(run, elsewhere, "web");
    await vi.waitFor(() => {
      expect(run.store.usesOf(identity)).toEqual([{ kind: "Mapping", namespace: elsewhere, name: "shop" }]);
    });
    await run.peer.remove(`${run.namespace}/web`);
    await expect(run.store.withdraw(identity)).rejects.toThrow("ATTACHE_STORE_IN_USE");
    expect(await run.peer.objects()).toHaveLength(3);
  });

  it("is reported where it is exposed, without an Event, which attaché may not write there", async () => {
    const { run, clock, elsewhere } = await published([]);
    await using _ = run;
    run.requests();
    await createMapping(run, elsewhere, "typo");
    await vi.waitFor(async () => {
      await clock.advance(1_000);
      expect(run.store.exposures.map(({ consumer, reason }) => [consumer.namespace, reason])).toEqual([
        [elsewhere, "ContextMissing"],
      ]);
    });
    await run.stop();
    expect(run.requests()).toEqual([]);
  });

  it("is not seen where it may not be watched", async () => {
    const { run, identity, elsewhere } = await published(undefined);
    await using _ = run;
    await createMapping(run, elsewhere, "web");
    await createMapping(run, run.namespace, "web");
    await vi.waitFor(() => expect(run.store.usesOf(identity)).toHaveLength(1));
    expect(run.store.usesOf(identity)).toMatchObject([{ namespace: run.namespace }]);
  });
});

describe("a TLSContext in a namespace that attaché does not act in", () => {
  it("has its name, and no other gets it", async () => {
    const { run, elsewhere } = await published([]);
    await using _ = run;
    await run.cluster.admin.create(pathOf(resources.tlsContexts, { namespace: elsewhere }), {
      metadata: { name: "taken", namespace: elsewhere },
      spec: { secret: "theirs" },
    });
    await vi.waitFor(() => expect(run.store.contexts.map(({ name }) => name)).toContain("taken"));
    const second = await run.put("second", { target: { tlsContext: { name: "taken" } } });
    await expect(run.store.apply(second, targetOf(second, "1"))).rejects.toThrow(
      /ATTACHE_STORE_TARGET_TAKEN.*there is one of this name/s,
    );
  });

  it("is left alone where it remains from a time when attaché acted there", async () => {
    const { run, identity, elsewhere } = await published([]);
    await using _ = run;
    const [, , context] = targetOf(identity, "1");
    const { namespace: _here, ...metadata } = context.metadata;
    const annotations = { ...metadata.annotations, "attache.dev/identity": "u", "attache.dev/name": "left" };
    await run.cluster.admin.create(pathOf(resources.tlsContexts, { namespace: elsewhere }), {
      ...context,
      metadata: { ...metadata, namespace: elsewhere, name: "left", annotations },
    });
    await run.restart();
    await run.events.next("identity");
    // No orphan, and nothing to be withdrawn.
    await run.events.next("synced");
    expect(run.store.contexts.map(({ name }) => name).toSorted()).toEqual(["left", "web"]);
  });
});
