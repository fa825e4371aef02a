import { expect, it } from "vitest";
import { digestOf, digestOfFixed } from "./backend.ts";

it("a digest depends on what a value holds, and not on the order of its keys", () => {
  const value = { b: [{ d: "1", c: null }, 2], a: { "10": true, "9": new Date(0) } };
  const same = { a: { "9": new Date(0), "10": true }, b: [{ c: null, d: "1" }, 2], e: undefined };
  expect(digestOf(same)).toBe(digestOf(value));
  expect(digestOfFixed(same)).toBe(digestOf(value));
  // Recorded in folders: it stays as it is.
  expect(digestOf(value)).toBe("4kFkl6HJKImN4gyFWqPXXw");
  expect(digestOf({ ...value, b: [2, { d: "1", c: null }] })).not.toBe(digestOf(value));
});
