import { describe, expect, it } from "vitest";
import { StoreError } from "../errors.ts";
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

  it("that does not fit is told with every place that is wrong, and keeps its name", () => {
    const { content, metadata } = seenIdentity(object({ consul: {}, mesh: 7, later: 1 }));
    if (!(content instanceof StoreError)) throw new Error("it was read");
    expect(content.problem).toBe(
      "the MeshCertificate edge/web does not fit this version's schema: spec.mesh: must be string, not number; " +
        "spec.consul.service: is missing; write a string",
    );
    expect(metadata).toMatchObject({ namespace: "edge", name: "web", uid: "u" });
  });

  it("has its status, unless nobody of ours could have written it", () => {
    const spec = { istio: {} };
    expect(seenIdentity(object(spec, { conditions: [] })).status).toEqual({ conditions: [] });
    expect(seenIdentity(object(spec, { conditions: "many" })).status).toBeUndefined();
  });

  it("is kept without the copy of itself that kubectl apply leaves on it", () => {
    const annotations = {
      "kubectl.kubernetes.io/last-applied-configuration": "{}",
      "attache.dev/renew": "1",
    };
    const { metadata } = seenIdentity(object({ istio: {} }, undefined, { annotations }));
    expect(metadata.annotations).toEqual({ "attache.dev/renew": "1" });
  });
});
