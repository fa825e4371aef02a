import { describe, expect, it } from "vitest";
import type { MetricsPage } from "./metrics-page.ts";
import { servingStateOf } from "./serving-state.ts";

const wanted = { leaf: 2_000, root: 9_000 };

type Clusters =
  MetricsPage["clusters"] extends ReadonlyMap<infer K, infer V> ? readonly (readonly [K, V])[] : never;

function pageOf(clusters: Clusters, hasCertificates = true, version?: string): MetricsPage {
  const page = { clusters: new Map(clusters), hasEnvoy: true, hasCertificates, bytes: 1_000 };
  return version === undefined ? page : { ...page, version };
}

function sight(
  leaves: readonly number[],
  roots: readonly number[] = [9_000],
  names: readonly (readonly string[])[] = [["web_shop", "web"]],
) {
  return servingStateOf(pageOf([["web", { leaves, roots, hasTls: leaves.length > 0 }]]), names, wanted);
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
    const page = pageOf([
      ["web", { leaves: [2_000], roots: [], hasTls: true }],
      ["shop", { leaves: [1_000], roots: [], hasTls: true }],
    ]);
    expect(servingStateOf(page, [["web"], ["shop"]], wanted)).toMatchObject({
      kind: "oldLeaf",
      name: "shop",
    });
    expect(servingStateOf(page, [["gone"], ["web", "shop"]], wanted)).toMatchObject({
      kind: "served",
      name: "web",
    });
  });

  it.each([
    ["has TLS, where Envoy reports no certificate at all", true, undefined, "unmeasured"],
    ["has TLS, in an Emissary 3", true, "3.10.0", "unmeasured"],
    ["has TLS, in an Emissary 4, which reports certificates", true, "4.1.0", "exposed"],
    ["has no TLS", false, "3.10.0", "exposed"],
  ])("that presents none, and %s, is judged accordingly", (_, hasTls, version, kind) => {
    const page = pageOf([["web", { leaves: [], roots: [], hasTls }]], false, version);
    expect(servingStateOf(page, [["web"]], wanted).kind).toBe(kind);
  });
});
