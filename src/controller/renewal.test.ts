import { describe, expect, it, vi } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { identity } from "../../test/fixtures/identity.ts";
import { type Reconciliation, startReconciliation } from "../../test/fixtures/reconciliation.ts";
import { MeshError } from "../mesh/errors.ts";
import { type Requester, FairQueue } from "./fair-queue.ts";

function ask(run: Reconciliation, value: string, name = "storefront"): void {
  run.store.annotate(`emissary/${name}`, { "attache.dev/renew": value });
}

async function published(options: Parameters<typeof startReconciliation>[0] = {}): Promise<Reconciliation> {
  const run = await startReconciliation({ signs: true, ...options });
  run.store.put(identity());
  await run.until("Ready", "True/Valid");
  await run.until("SourceReady", "True/Received");
  return run;
}

describe("a request to renew", () => {
  it("gets one new leaf for each new value, and is remembered in the status", async () => {
    await using run = await published();
    ask(run, "first");
    await vi.waitFor(() => expect(run.status()?.lastRenewRequest).toBe("first"));
    expect(run.mesh.issued).toBe(2);
    expect(run.store.writes.slice(3)).toEqual(["Secret/storefront-mesh-cert"]);
    ask(run, "first");
    await run.clock.advance(1_000);
    ask(run, "second");
    await vi.waitFor(() => expect(run.status()?.lastRenewRequest).toBe("second"));
    expect(run.mesh.issued).toBe(3);
  });

  it("is not done again after a restart", async () => {
    await using run = await published();
    ask(run, "once");
    await vi.waitFor(() => expect(run.status()?.lastRenewRequest).toBe("once"));
    await run.restart();
    await vi.waitFor(() => expect(run.controller.reconcilers[0]?.hasLooked).toBe(true));
    await run.clock.advance(120_000);
    expect(run.mesh.issued).toBe(2);
  });

  it("costs nothing more where the first leaf is yet to come", async () => {
    await using run = await startReconciliation({ signs: true });
    const { metadata, ...rest } = identity();
    run.store.put({ ...rest, metadata: { ...metadata, annotations: { "attache.dev/renew": "x" } } });
    await vi.waitFor(() => expect(run.status()?.lastRenewRequest).toBe("x"));
    await run.clock.advance(120_000);
    expect(run.mesh.issued).toBe(1);
  });

  it("outlives a mesh that refuses, and keeps what is published meanwhile", async () => {
    await using run = await published();
    await run.mesh.refuse("storefront", new MeshError("ATTACHE_MESH_FORBIDDEN", "not now"));
    ask(run, "later");
    await run.until("SourceReady", "False/Forbidden");
    await run.until("Ready", "True/Valid");
    expect(run.status()?.lastRenewRequest).toBeUndefined();
    await run.mesh.allow("storefront");
    await vi.waitFor(async () => {
      await run.clock.advance(30_000);
      expect(run.status()?.lastRenewRequest).toBe("later");
    });
    expect(run.mesh.issued).toBe(2);
  });

  it("of any length is remembered in a few characters", async () => {
    await using run = await published();
    ask(run, "x".repeat(100_000));
    await vi.waitFor(() => expect(run.status()?.lastRenewRequest).toMatch(/^[0-9a-f]{64}$/));
  });

  it("is answered by a mesh that cannot issue with what it has", async () => {
    await using run = await published({ signs: false });
    ask(run, "please");
    await vi.waitFor(() => expect(run.status()?.lastRenewRequest).toBe("please"));
    expect(run.mesh.issued).toBe(1);
    expect(run.store.writes).toHaveLength(3);
  });
});

describe("requests of many identities", () => {
  const asker = (more: Partial<Requester> = {}): Requester => ({
    mesh: "consul",
    namespace: "edge",
    ...more,
  });
  const never = new AbortController().signal;

  it("have their turns one after the other, in their order, each mesh for itself", async () => {
    const clock = manualClock();
    const queue = new FairQueue(clock);
    const begun: string[] = [];
    const work = (name: string) => () => {
      begun.push(name);
      return Promise.resolve();
    };
    for (const name of ["a", "b", "c"]) void queue.acquire(asker(), work(name), never);
    void queue.acquire(asker({ mesh: "istio" }), work("other mesh"), never);
    await vi.waitFor(() => expect(begun).toEqual(["a", "other mesh"]));
    await clock.sleeping(2);
    await clock.advance(200);
    await vi.waitFor(() => expect(begun).toEqual(["a", "other mesh", "b"]));
    await clock.advance(200);
    await vi.waitFor(() => expect(begun).toEqual(["a", "other mesh", "b", "c"]));
  });

  it("of one namespace do not hold up those of another", async () => {
    const clock = manualClock();
    const queue = new FairQueue(clock);
    const begun: string[] = [];
    const ask = (namespace: string, name: string) =>
      void queue.acquire(asker({ namespace }), () => Promise.resolve(void begun.push(name)), never);
    for (const number of [1, 2, 3, 4]) ask("shop", `shop ${number}`);
    await vi.waitFor(() => expect(begun).toEqual(["shop 1"]));
    for (const number of [1, 2]) ask("edge", `edge ${number}`);
    ask("mail", "mail 1");
    const order = ["shop 1", "edge 1", "mail 1", "shop 2", "edge 2", "shop 3", "shop 4"];
    for (let turns = 1; turns <= order.length; turns += 1) {
      await vi.waitFor(() => expect(begun).toEqual(order.slice(0, turns)));
      await clock.sleeping(1);
      await clock.advance(200);
    }
  });

  it("pass over one that the mesh does not answer, and one that was called off", async () => {
    const clock = manualClock();
    const queue = new FairQueue(clock);
    const calledOff = new AbortController();
    const begun: string[] = [];
    void queue.acquire(asker(), () => new Promise(() => undefined), never);
    const off = queue.acquire(asker(), () => Promise.reject(new Error("not reached")), calledOff.signal);
    void queue.acquire(
      asker(),
      () => {
        begun.push("third");
        return Promise.resolve();
      },
      never,
    );
    calledOff.abort(new Error("called off"));
    await expect(off).rejects.toThrow("called off");
    await clock.sleeping(1);
    expect(begun).toEqual([]);
    await clock.advance(30_000);
    await clock.sleeping(1);
    await clock.advance(200);
    await vi.waitFor(() => expect(begun).toEqual(["third"]));
  });
});
