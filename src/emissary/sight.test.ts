import { describe, expect, it } from "vitest";
import { sightOf } from "./sight.ts";

const wanted = { leaf: 2_000, root: 9_000 };

function sight(leaves: readonly number[], roots: readonly number[] = [9_000], names = ["web_shop", "web"]) {
  return sightOf({ clusters: new Map([["web", { leaves, roots }]]), hasEnvoy: true }, names, wanted);
}

describe("a cluster", () => {
  it.each([
    ["served", sight([2_000])],
    ["served", sight([2_000], [])],
    ["oldLeaf", sight([1_000])],
    ["oldRoots", sight([2_000], [8_000])],
    ["exposed", sight([])],
    ["exposed", sight([], [])],
    ["absent", sight([2_000], [9_000], ["other"])],
  ])("is %s", (kind, seen) => {
    expect(seen.kind).toBe(kind);
  });
});
