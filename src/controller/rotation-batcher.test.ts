import { describe, expect, it, vi } from "vitest";
import { identity } from "../../test/fixtures/identity.ts";
import { startReconciliation } from "../../test/fixtures/reconciliation.ts";
import { RotationBatcher } from "./rotation-batcher.ts";

const dayMs = 86_400_000;

describe("rotations", () => {
  it("go at once when they come alone, and in windows when they come together", () => {
    const due = windows(5_000);
    expect(due(0)).toBe(0);
    expect(due(900)).toBe(900);
    expect(due(1_200)).toBe(5_000);
    expect(due(5_800)).toBe(5_800);
    expect(due(6_100)).toBe(10_000);
    expect(due(9_000)).toBe(10_000);
    expect(due(60_000)).toBe(60_000);
  });

  it("at a steady pace are published in one group for each window, and none waits longer than that", () => {
    const dues = steady(5_000);
    expect(dues.every(({ due, now }) => due - now <= 5_000)).toBe(true);
    // What goes within a second of an opening is one group: Emissary's own.
    expect(new Set(dues.map(({ due }) => Math.floor(due / 5_000))).size).toBe(13);
    expect(dues.every(({ due }) => due % 5_000 <= 1_000)).toBe(true);
  });

  it("cost Emissary less than half of the snapshots so", () => {
    const snapshots = (windowMs: number) => {
      let taken = 0;
      let lastMs = -Infinity;
      // The first change at once, and then what has come by the end of each second.
      for (const { due } of steady(windowMs)) {
        if (due <= lastMs) continue;
        taken += 1;
        lastMs = Math.max(due, lastMs + 1_000);
      }
      return taken;
    };
    expect(snapshots(0)).toBeGreaterThanOrEqual(60);
    expect(snapshots(5_000)).toBeLessThanOrEqual(26);
  });

  it("wait for no more than a hundredth of the life that is left", () => {
    const due = windows(5_000);
    due(0);
    expect(due(2_000, 60_000)).toBe(2_600);
    expect(due(2_000, 0)).toBe(2_000);
    expect(due(2_000, -dayMs)).toBe(2_000);
  });

  it("are not grouped without a window", () => {
    const due = windows(0);
    for (const now of [0, 1, 1_001, 1_500, 2_000]) expect(due(now)).toBe(now);
  });

  /** Four a second for a minute. */
  function steady(windowMs: number): { now: number; due: number }[] {
    const due = windows(windowMs);
    return Array.from({ length: 240 }, (_, index) => index * 250).map((now) => ({ now, due: due(now) }));
  }

  function windows(windowMs: number) {
    const grouped = new RotationBatcher(windowMs);
    return (nowMs: number, leftMs = dayMs) => grouped.due(nowMs, leftMs);
  }
});

describe("an identity whose rotation does not come alone", () => {
  it("waits for the next window with the leaf, and for nothing else", async () => {
    await using run = await startTwo();
    await run.mesh.rotate("billing");
    await vi.waitFor(() => expect(run.observed.published.at(-1)?.cause).toBe("leaf"));
    await run.clock.advance(1_500);
    const { length } = run.store.writes;
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.status("storefront")?.roots).toHaveLength(2));
    await vi.waitFor(() => expect(run.status("billing")?.roots).toHaveLength(2));
    const unions = ["Secret/billing-mesh-ca", "Secret/storefront-mesh-ca"];
    expect(run.store.writes.slice(length).toSorted()).toEqual(unions);
    const { serialNumber } = run.status("storefront") ?? {};
    // What another client takes away meanwhile is put back as it was.
    run.store.objects.delete("emissary/Secret/storefront-mesh-cert");
    run.store.drift("emissary/storefront");
    await vi.waitFor(() =>
      expect(run.store.writes.slice(length + 2)).toEqual(["Secret/storefront-mesh-cert"]),
    );
    await run.clock.advance(3_499);
    expect(run.status("storefront")?.serialNumber).toBe(serialNumber);
    await run.clock.advance(1);
    const leaves = ["Secret/billing-mesh-cert", "Secret/storefront-mesh-cert"];
    await vi.waitFor(() => expect(run.store.writes.slice(length + 3).toSorted()).toEqual(leaves));
    await vi.waitFor(() => expect(run.status("storefront")?.serialNumber).not.toBe(serialNumber));
    const last = run.observed.published.slice(-2).map(({ cause, propagationMs }) => [cause, propagationMs]);
    expect(last).toEqual(new Array(2).fill(["leaf", 3_500]));
  });

  it("does not wait where the mesh lists no root any more that the old leaf leads to", async () => {
    await using run = await startTwo();
    await run.mesh.rotate("billing");
    await vi.waitFor(() => expect(run.observed.published.at(-1)?.cause).toBe("leaf"));
    await run.clock.advance(1_500);
    const [old] = run.mesh.authority.roots();
    await run.mesh.authority.rotateRoot();
    run.mesh.authority.dropRoot(old?.certificate.fingerprint ?? "");
    await run.mesh.rotate("storefront");
    await vi.waitFor(() =>
      expect(run.observed.published.at(-1)).toMatchObject({ cause: "both", propagationMs: 0 }),
    );
  });

  it("does not wait where nothing is published yet", async () => {
    await using run = await startTwo();
    await run.mesh.rotate("billing");
    await vi.waitFor(() => expect(run.observed.published.at(-1)?.cause).toBe("leaf"));
    await run.clock.advance(1_500);
    run.store.put(identity("orders"));
    await run.until("Ready", "True/Valid", "orders");
    expect(run.observed.published.at(-1)).toMatchObject({ cause: "initial", propagationMs: 0 });
  });

  async function startTwo() {
    const run = await startReconciliation({ rotationWindowMs: 5_000 });
    for (const name of ["storefront", "billing"]) run.store.put(identity(name));
    await run.until("Ready", "True/Valid", "storefront");
    await run.until("Ready", "True/Valid", "billing");
    return run;
  }
});
