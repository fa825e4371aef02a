import { describe, expect, it } from "vitest";
import { createLeaf, createRoot } from "../../test/fixtures/pki.ts";
import { renewalTimeOf, rootChangeJitterMs, usualWindow } from "./renewal.ts";

const root = await createRoot();
const notBefore = new Date("2026-01-01T00:00:00Z");
const leavesOf = async (lifeMs: number, count: number) => {
  const notAfter = new Date(notBefore.getTime() + lifeMs);
  const leaves = Array.from({ length: count }, () =>
    createLeaf(root, { keys: root.keys, notBefore, notAfter }),
  );
  return (await Promise.all(leaves)).map(({ certificate }) => certificate);
};
const hourMs = 3_600_000;
const leaves = await leavesOf(hourMs, 200);
const [leaf] = leaves;
if (leaf === undefined) throw new Error("no leaf");

describe("the time of renewal", () => {
  it("lies in the window, spread over all of it", () => {
    const shares = leaves.map(
      (one) => (renewalTimeOf(one, notBefore).getTime() - notBefore.getTime()) / hourMs,
    );
    expect(Math.min(...shares)).toBeGreaterThanOrEqual(usualWindow.from);
    expect(Math.max(...shares)).toBeLessThan(usualWindow.to);
    // 200 draws that miss a fifth of the window have a probability below 1e-19.
    expect(Math.min(...shares)).toBeLessThan(0.66);
    expect(Math.max(...shares)).toBeGreaterThan(0.84);
  });

  it("is the same each time it is asked for, also of a copy of the leaf that was stored", () => {
    const again = new Date(notBefore.getTime() + 1000);
    expect(renewalTimeOf(leaf, again)).toEqual(renewalTimeOf(leaf, notBefore));
  });

  it("is at the point of the window that the caller narrows it to", () => {
    expect(renewalTimeOf(leaf, notBefore, { from: 0.5, to: 0.5 })).toEqual(new Date("2026-01-01T00:30:00Z"));
  });

  it("lies in what is left of the life, when the leaf came after it", () => {
    const late = new Date("2026-01-01T00:59:00Z");
    for (const one of leaves) {
      const leftMs = one.notAfter.getTime() - renewalTimeOf(one, late).getTime();
      expect(leftMs).toBeLessThanOrEqual(0.4 * 60_000);
      expect(leftMs).toBeGreaterThan(0.1 * 60_000);
    }
  });
});

describe("the jitter after a change of roots", () => {
  it("is up to half a minute", () => {
    const jitters = leaves.map(rootChangeJitterMs);
    expect(Math.min(...jitters)).toBeLessThan(6_000);
    expect(Math.max(...jitters)).toBeGreaterThan(24_000);
    expect(Math.max(...jitters)).toBeLessThan(30_000);
  });

  it("is up to a tenth of a short life", async () => {
    const jitters = (await leavesOf(20_000, 100)).map(rootChangeJitterMs);
    expect(Math.max(...jitters)).toBeGreaterThan(1_600);
    expect(Math.max(...jitters)).toBeLessThan(2_000);
  });

  it("is drawn independently of the renewal", () => {
    const [early, late] = [
      leaves.filter((one) => share(one) < 0.5),
      leaves.filter((one) => share(one) >= 0.5),
    ];
    for (const half of [early, late]) {
      const mean = half.reduce((sum, one) => sum + rootChangeJitterMs(one), 0) / half.length;
      // Seven standard deviations of the mean of 60 draws around 15 s.
      expect(Math.abs(mean - 15_000)).toBeLessThan(7_800);
    }
  });
});

/** Where in the window the renewal lies. */
function share(one: typeof leaf & object): number {
  const at = (renewalTimeOf(one, notBefore).getTime() - notBefore.getTime()) / hourMs;
  return (at - usualWindow.from) / (usualWindow.to - usualWindow.from);
}
