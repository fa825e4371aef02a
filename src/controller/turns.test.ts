import { describe, expect, it, vi } from "vitest";
import { identity } from "../../test/fixtures/identity.ts";
import { createMemoryStore } from "../../test/fixtures/memory-store.ts";
import { type Reconciliation, startReconciliation } from "../../test/fixtures/reconciliation.ts";
import type { MeshCertificate } from "../api/mesh-certificate.ts";
import type { Credential } from "../credentials/credential.ts";

function inNamespace(namespace: string, name: string): MeshCertificate {
  const { metadata, ...rest } = identity(name);
  return { ...rest, metadata: { ...metadata, namespace, uid: `uid-of-${namespace}/${name}` } };
}

const crowd = Array.from({ length: 80 }, (_, index) => inNamespace("shop", `shop-${index}`));

/** Lets each of those that come go on, one by one, in the order in which they came. */
function gate() {
  const came: string[] = [];
  const waiting: (() => void)[] = [];
  return {
    came,
    enter(who: string): Promise<void> {
      came.push(who);
      return new Promise((resolve) => void waiting.push(resolve));
    },
    /** Resolves when the next one has come. */
    async letOneGo(): Promise<void> {
      const before = came.length;
      waiting.shift()?.();
      await vi.waitFor(() => expect(came.length).toBeGreaterThan(before), { interval: 1 });
    },
  };
}

async function* after(entered: Promise<void>, sound: () => AsyncIterable<Credential>) {
  await entered;
  yield* sound();
}

/** The status of the one says that it waits for the mesh: it has asked for its turn. */
async function untilAwaited(run: Reconciliation): Promise<void> {
  await vi.waitFor(async () => {
    await run.clock.advance(100);
    expect(run.store.statuses.has("edge/storefront")).toBe(true);
  });
}

describe("of many identities in one namespace and one in another", () => {
  it("the one is asked for as soon as the mesh has answered any other", async () => {
    const mesh = gate();
    await using run = await startReconciliation({
      watch: (sound, { namespace }) => after(mesh.enter(namespace), sound),
    });
    for (const one of crowd) run.store.put(one);
    await vi.waitFor(() => expect(mesh.came).toHaveLength(32));
    run.store.put(inNamespace("edge", "storefront"));
    await untilAwaited(run);
    expect(mesh.came).toHaveLength(32);
    await mesh.letOneGo();
    expect(mesh.came.slice(32)).toEqual(["edge"]);
    await mesh.letOneGo();
    expect(mesh.came.slice(32)).toEqual(["edge", "shop"]);
  });

  it("the one is asked for after 2 s where the mesh answers none, and all are in the end", async () => {
    const mesh = gate();
    await using run = await startReconciliation({
      watch: (sound, { namespace }) => after(mesh.enter(namespace), sound),
    });
    for (const one of crowd) run.store.put(one);
    await vi.waitFor(() => expect(mesh.came).toHaveLength(32));
    run.store.put(inNamespace("edge", "storefront"));
    await untilAwaited(run);
    await run.clock.advance(1_999 - run.clock.elapsedMs());
    expect(mesh.came).toHaveLength(32);
    await run.clock.advance(1);
    await vi.waitFor(() => expect(mesh.came).toHaveLength(64));
    expect(mesh.came[32]).toBe("edge");
    await vi.waitFor(async () => {
      await run.clock.advance(2_000);
      expect(mesh.came).toHaveLength(81);
    });
  });

  it("verdicts are given in slices, between which the event loop has its turn", async () => {
    await using run = await startReconciliation();
    for (const one of crowd) run.store.put(one);
    await vi.waitFor(() => expect(run.observed.published).toHaveLength(crowd.length));
    const before = run.observed.applied.length;
    // Each look at the clock is a millisecond later, and a slice has five.
    let nowMs = performance.now();
    const look = vi.spyOn(performance, "now").mockImplementation(() => (nowMs += 1));
    let turns = 0;
    let next = setImmediate(function turned() {
      turns += 1;
      next = setImmediate(turned);
    });
    run.controller.wake("consul");
    const { applied } = run.observed;
    await vi.waitFor(() => expect(applied).toHaveLength(before + crowd.length), { interval: 1 });
    clearImmediate(next);
    look.mockRestore();
    expect(turns).toBeGreaterThan(10);
  });

  it("the one is published among the first when attaché starts", async () => {
    const store = createMemoryStore();
    const written: string[] = [];
    store.beforeWrite = ({ metadata }) => void written.push(metadata.namespace);
    for (const one of [...crowd, inNamespace("edge", "storefront")]) store.put(one);
    await using _run = await startReconciliation({ store });
    await vi.waitFor(() => expect(written).toHaveLength(3 * (crowd.length + 1)));
    expect(written.lastIndexOf("edge")).toBeLessThan(written.length / 2);
  });
});
