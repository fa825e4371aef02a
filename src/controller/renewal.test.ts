import { describe, expect, it, vi } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { identity } from "../../test/fixtures/identity.ts";
import { type Reconciliation, startReconciliation } from "../../test/fixtures/reconciliation.ts";
import { MeshError } from "../mesh/errors.ts";
import { Renewal, startRenewals } from "./renewal.ts";

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
  /** The identities' names in the order of their turns, and the means to ask for one. */
  function requests() {
    const clock = manualClock();
    const renewals = startRenewals(clock);
    const begun: string[] = [];
    const ask = (name: string, namespace = "edge", again: () => Promise<void> = () => Promise.resolve()) => {
      const { metadata, ...rest } = identity(name);
      const annotations = { "attache.dev/renew": "now" };
      const of = { identity: { ...rest, metadata: { ...metadata, namespace, annotations } } };
      const renewal = new Renewal(of, { again: () => (begun.push(name), again()) }, undefined);
      renewals.enqueue(renewal);
      return renewal;
    };
    return { clock, renewals, begun, ask };
  }

  it("have their turns one after the other, in their order", async () => {
    const { clock, begun, ask } = requests();
    for (const name of ["a", "b", "c"]) ask(name);
    await vi.waitFor(() => expect(begun).toEqual(["a"]));
    await clock.advance(199);
    expect(begun).toEqual(["a"]);
    await clock.advance(1);
    await vi.waitFor(() => expect(begun).toEqual(["a", "b"]));
    await clock.advance(200);
    await vi.waitFor(() => expect(begun).toEqual(["a", "b", "c"]));
  });

  it("of one namespace do not hold up those of another", async () => {
    const { clock, begun, ask } = requests();
    for (const number of [1, 2, 3, 4]) ask(`shop-${number}`, "shop");
    await vi.waitFor(() => expect(begun).toEqual(["shop-1"]));
    for (const number of [1, 2]) ask(`edge-${number}`);
    ask("mail-1", "mail");
    await clock.advance(2_000);
    expect(begun).toEqual(["shop-1", "edge-1", "mail-1", "shop-2", "edge-2", "shop-3", "shop-4"]);
  });

  it("pass over one that the mesh does not answer, and one that was called off", async () => {
    const { clock, renewals, begun, ask } = requests();
    ask("unanswered", "edge", () => new Promise(() => undefined));
    const off = ask("off");
    ask("third");
    await renewals.remove(off);
    await clock.advance(29_999);
    expect(begun).toEqual(["unanswered"]);
    await clock.advance(201);
    expect(begun).toEqual(["unanswered", "third"]);
  });
});
