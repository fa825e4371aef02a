import { expect, it } from "vitest";
import { least } from "./least.ts";

it("finds the least of more numbers than a call takes arguments", () => {
  expect(least(Array.from({ length: 300_000 }, (_, index) => 300_000 - index))).toBe(1);
  expect(least([undefined, 3, undefined, 2])).toBe(2);
  expect(least([undefined])).toBeUndefined();
});
