import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { atOnce, inSlices, maybeYield } from "./time-slice.ts";

/** The processor's time, which a step takes as the test says. */
let nowMs = 0;

beforeEach(() => {
  vi.spyOn(performance, "now").mockImplementation(() => nowMs);
});
afterEach(() => {
  vi.restoreAllMocks();
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Counts the turns of the event loop in which steps were made, and the most steps of one. */
async function turnsOf(...computations: readonly (() => Promise<unknown>)[]) {
  const steps: number[] = [];
  const all = { areOver: false };
  const counted = (async () => {
    for (;;) {
      const before = made;
      await turn();
      steps.push(made - before);
      if (all.areOver) return;
    }
  })();
  await Promise.all(computations.map((compute) => compute()));
  all.areOver = true;
  await counted;
  return { most: Math.max(...steps), turns: steps.filter((count) => count > 0).length };
}

let made = 0;

function* steps(count: number, ms: number): Generator<undefined, number> {
  for (let left = count; left > 0; left -= 1) {
    made += 1;
    nowMs += ms;
    yield;
  }
  return count;
}

describe("a long computation", () => {
  it("has slices of five milliseconds, between which the event loop has a turn", async () => {
    const { most, turns } = await turnsOf(() => inSlices(steps(20, 1)));
    expect(most).toBeLessThanOrEqual(6);
    expect(turns).toBeGreaterThanOrEqual(4);
  });

  it("shares the slice of a turn with all others", async () => {
    const { most } = await turnsOf(...Array.from({ length: 32 }, () => () => inSlices(steps(20, 1))));
    expect(most).toBeLessThanOrEqual(6);
    const later = await turnsOf(
      async () => {
        for (let left = 20; left > 0; left -= 1) {
          await maybeYield();
          made += 1;
          nowMs += 1;
        }
      },
      () => inSlices(steps(20, 1)),
    );
    expect(later.most).toBeLessThanOrEqual(8);
  });

  it("returns what it makes, at once if that is asked for", async () => {
    expect(await inSlices(steps(3, 10))).toBe(3);
    expect(atOnce(steps(3, 10))).toBe(3);
  });

  it("throws what a step throws", async () => {
    function* failing(): Generator<undefined, number> {
      yield* steps(2, 10);
      throw new RangeError("no");
    }
    await expect(inSlices(failing())).rejects.toThrow(RangeError);
  });
});

it("a short one does not wait", async () => {
  await turn();
  let hasTurned = false;
  setImmediate(() => (hasTurned = true));
  await inSlices(steps(4, 1));
  await maybeYield();
  expect(hasTurned).toBe(false);
});
