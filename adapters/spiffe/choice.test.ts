import { describe, expect, it } from "vitest";
import { choose } from "./choice.ts";

const edge = svid("spiffe://example.org/edge", "outside");
const internal = svid("spiffe://example.org/internal", "inside");
const edgeAgain = svid("spiffe://example.org/edge", "other");

describe("the identity among those that the agent gives", () => {
  it.each([
    ["the only one", [edge], {}, undefined, edge],
    ["the one with the SPIFFE ID", [internal, edge], { id: edge.id }, undefined, edge],
    ["the one with the hint", [internal, edge], { hint: "outside" }, undefined, edge],
    ["the one with both", [edgeAgain, internal, edge], { id: edge.id, hint: "outside" }, undefined, edge],
    [
      "the first of several that are the same workload",
      [edgeAgain, internal, edge],
      { id: edge.id },
      undefined,
      edgeAgain,
    ],
    ["the one that was given so far", [internal, edge], {}, edge.id, edge],
    [
      "the one that is asked for, whatever was given so far",
      [internal, edge],
      { id: internal.id },
      edge.id,
      internal,
    ],
    ["the only one, whatever was given so far", [internal], {}, edge.id, internal],
  ] as const)("is %s", (_, svids, identity, held, chosen) => {
    expect(choose(svids, identity, held)).toBe(chosen);
  });

  it.each([
    [{ id: "spiffe://example.org/none" }, "the agent does not give attaché spiffe://example.org/none, only"],
    [
      { id: "spiffe://other.example/edge" },
      "the agent does not give attaché spiffe://other.example/edge, only",
    ],
    [{ hint: "none" }, 'the agent does not give attaché an identity with the hint "none", only'],
    [
      { id: edge.id, hint: "inside" },
      'the agent does not give attaché spiffe://example.org/edge with the hint "inside", only',
    ],
  ])("is missing: %j", (identity, problem) => {
    expect(() => choose([internal, edge], identity, undefined)).toThrow(
      `ATTACHE_MESH_FORBIDDEN: ${problem} spiffe://example.org/edge (hint "outside"), spiffe://example.org/internal (hint "inside")`,
    );
  });

  it.each([undefined, "spiffe://example.org/gone"])(
    "must be said where there are several, and %s was given",
    (held) => {
      expect(() => choose([internal, edge], {}, held)).toThrow(
        "ATTACHE_MESH_IDENTITY_REFUSED: the agent gives attaché several identities:",
      );
    },
  );

  it("is named with at most five others, in printable characters", () => {
    const many = Array.from({ length: 8 }, (_, index) => svid(`spiffe://example.org/${index}\u0007`, ""));
    expect(() => choose(many, {}, undefined)).toThrow(/spiffe:\/\/example.org\/0\?, (?:[^,]+, ){4}3 more/);
  });
});

function svid(id: string, hint: string) {
  return { id, hint };
}
