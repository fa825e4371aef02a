import { describe, expect, it } from "vitest";
import { servingStateOf } from "./serving-state.ts";

const wanted = { leaf: 2_000, root: 9_000 };

function sight(
  leaves: readonly number[],
  roots: readonly number[] = [9_000],
  names: readonly (readonly string[])[] = [["web_shop", "web"]],
) {
  return servingStateOf({ clusters: new Map([["web", { leaves, roots }]]), hasEnvoy: true }, names, wanted);
}

describe("a cluster", () => {
  it.each([
    ["served", sight([2_000])],
    ["served", sight([2_000], [])],
    ["oldLeaf", sight([1_000])],
    ["oldRoots", sight([2_000], [8_000])],
    ["exposed", sight([])],
    ["exposed", sight([], [])],
    ["absent", sight([2_000], [9_000], [["other"]])],
  ])("is %s", (kind, seen) => {
    expect(seen.kind).toBe(kind);
  });

  it("is as bad as the worst that may be meant, and is looked for under no more names than there are", () => {
    const page = {
      hasEnvoy: true,
      clusters: new Map([
        ["web", { leaves: [2_000], roots: [] }],
        ["shop", { leaves: [1_000], roots: [] }],
      ]),
    };
    expect(servingStateOf(page, [["web"], ["shop"]], wanted)).toMatchObject({
      kind: "oldLeaf",
      name: "shop",
    });
    expect(servingStateOf(page, [["gone"], ["web", "shop"]], wanted)).toMatchObject({
      kind: "served",
      name: "web",
    });
  });
});
