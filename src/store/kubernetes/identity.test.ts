import { describe, expect, it } from "vitest";
import { StoreError } from "../store.ts";
import { seenIdentity } from "./identity.ts";

function object(spec: object, status?: object, metadata: object = {}) {
  return {
    metadata: { name: "web", namespace: "edge", uid: "u", resourceVersion: "7", generation: 1, ...metadata },
    spec: spec as Record<string, unknown>,
    ...(status && { status }),
  };
}

describe("a MeshCertificate of the API", () => {
  it("is read with its defaults, without fields that this version does not know, at any depth", () => {
    const { content } = seenIdentity(
      object({ consul: { service: "web", later: 1 }, target: { tlsContext: { later: 1 } }, later: 1 }),
    );
    if (content instanceof StoreError) throw content;
    expect(content.spec).toEqual({
      consul: { service: "web" },
      target: { adopt: false, labels: {}, tlsContext: { ambassadorId: ["default"] } },
    });
  });

  it("that does not fit is reported with every place that is wrong, and keeps its name", () => {
    const { content, metadata } = seenIdentity(object({ consul: {}, mesh: 7, later: 1 }));
    if (!(content instanceof StoreError)) throw new Error("it was read");
    expect(content.problem).toBe(
      "the MeshCertificate edge/web does not fit this version's schema: spec.mesh: must be string, not number; " +
        "spec.consul.service: is missing; write a string",
    );
    expect(metadata).toMatchObject({ namespace: "edge", name: "web", uid: "u" });
  });

  it("has its status, unless attaché could not have written it", () => {
    const spec = { istio: {} };
    expect(seenIdentity(object(spec, { conditions: [] })).status).toEqual({ conditions: [] });
    expect(seenIdentity(object(spec, { conditions: "many" })).status).toBeUndefined();
  });

  it("that a watch has cut is refused as too large, whatever is left of it", () => {
    const { content } = seenIdentity({ ...object({ consul: { service: "web" } }), isCut: true });
    expect(content).toMatchObject({
      problem: "the MeshCertificate edge/web is larger than 65536 bytes: shorten it",
    });
  });

  it("is kept without the copy of itself that kubectl apply leaves on it", () => {
    const annotations = {
      "kubectl.kubernetes.io/last-applied-configuration": "{}",
      "attache.dev/renew": "1",
    };
    const { metadata } = seenIdentity(object({ istio: {} }, undefined, { annotations }));
    expect(metadata.annotations).toEqual({ "attache.dev/renew": "1" });
  });

  it.each([
    [
      "a text of a megabyte",
      { consul: { service: "x" }, target: { tlsContext: { sni: "s".repeat(1_200_000) } } },
    ],
    ["30,000 labels", { consul: { service: "x" }, target: { labels: many(30_000, (i) => [`x/${i}`, "v"]) } }],
    ["30,000 unknown fields", { consul: { service: "x" }, ...many(30_000, (i) => [`later${i}`, 1]) }],
    ["100,000 items", { istio: {}, target: { tlsContext: { ambassadorId: Array(100_000).fill("a") } } }],
    ["a plug-in's identity of a megabyte", { mesh: "p", plugin: { x: Array(100_000).fill({ a: 1 }) } }],
    ["a megabyte of unknown nonsense", { [`a${"b".repeat(1_000_000)}`]: 1 }],
    ["depth", { mesh: "p", plugin: JSON.parse(`${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`) as object }],
  ])("is refused before any schema if it has %s, and leaves its metadata alone", (_, spec) => {
    const labels = many(3_000, (i) => [`l${i}`, "v"]);
    const annotations = { ...many(3_000, (i) => [`a${i}`, "v"]), "attache.dev/force-delete": "true" };
    const seen = seenIdentity(object(spec, undefined, { labels, annotations }));
    expect(problemOf(seen.content)).toMatch(/is (larger than 65536 bytes|nested more than 32 levels deep)/);
    expect(JSON.stringify(seen).length).toBeLessThan(2_000);
    expect(seen.metadata.annotations).toEqual({ "attache.dev/force-delete": "true" });
  });

  it("is refused with ten problems at most, each of a bounded length", () => {
    const labels = many(1_500, (i) => [`not a key ${"x".repeat(20)} ${i}`, "v"]);
    const { content, metadata } = seenIdentity(object({ consul: { service: "x" }, target: { labels } }));
    expect(problemOf(content).match(/is not a label key/g)).toHaveLength(10);
    expect(problemOf(content)).toContain("; and more");
    expect(metadata.labels).toEqual({});
    const long = seenIdentity(object({ istio: {}, [`a${"b".repeat(60_000)}`]: 1, mesh: 7 })).content;
    expect(problemOf(long).length).toBeLessThan(1_000);
  });
});

function many<T>(count: number, entry: (index: number) => [string, T]): Record<string, T> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => entry(index)));
}

function problemOf(content: object): string {
  return content instanceof StoreError ? content.problem : "";
}
