import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { openAccumulator } from "./accumulator.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** When it looks, in milliseconds from its start, if things change then. */
function looks(intervalMs: number, changes: readonly number[]): number[] {
  const startedAt = performance.now();
  const at: number[] = [];
  using accumulator = openAccumulator(intervalMs, () => void at.push(performance.now() - startedAt));
  for (let ms = 0; ms < 10 * intervalMs; ms += 50) {
    if (changes.includes(ms)) accumulator.changed();
    vi.advanceTimersByTime(50);
  }
  return at;
}

it("Emissary looks at a change at once, and at those of the second after it at the next tick", () => {
  expect(looks(1_000, [300, 350, 900])).toEqual([300, 1_000]);
  expect(looks(1_000, [950, 1_050])).toEqual([950, 2_000]);
  expect(looks(1_000, [300, 350, 1_050, 2_100])).toEqual([300, 1_000, 2_000, 3_000]);
  expect(looks(1_000, [300, 1_300])).toEqual([300, 1_300]);
});

it("AMBASSADOR_RECONFIG_MAX_DELAY is the length of that second", () => {
  expect(looks(20_000, [300, 5_000, 19_000, 25_000])).toEqual([300, 20_000, 40_000]);
});
