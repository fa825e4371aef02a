import { expect, it } from "vitest";
import { snapshotMs } from "./consumer.ts";

it("a change is taken at once, or a second after the one before, together with what comes until then", () => {
  const taken = [10_000, 10_200, 10_900, 11_300, 14_000, 14_001].map(
    (
      (before) => (changedMs: number) =>
        (before = snapshotMs(before, changedMs))
    )(-Infinity),
  );
  expect(taken).toEqual([10_000, 11_000, 11_000, 12_000, 14_000, 15_000]);
});
