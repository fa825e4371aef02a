import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { parseMeshIdentities } from "../../../src/api/parse.ts";
import { DocumentError } from "../../../src/yaml/document-error.ts";
import { cluster } from "./cluster.ts";

const istio = {};
const differ = "secret and caSecret must differ";

describe("the schema of MeshIdentity and the API server", () => {
  it.each([
    ["no source", "web", {}, "exactly one source is needed"],
    ["two sources", "web", { istio, consul: { service: "web" } }, "exactly one source is needed"],
    ["a plug-in without its mesh", "web", { plugin: {} }, "a plug-in's identity needs the name of its mesh"],
    ["one name for both Secrets", "web", { istio, target: { secret: "a", caSecret: "a" } }, differ],
    ["the default name of the other Secret", "web", { istio, target: { caSecret: "web-mesh-cert" } }, differ],
    ["a long name", "x".repeat(244), { istio }, "the name must have at most 243 characters"],
    ["a bad label", "web", { istio, target: { labels: { team: "a b" } } }, "spec.target.labels.team"],
    ["a bad name", "web", { istio, target: { secret: "A" } }, "spec.target.secret"],
    ["a wrong value", "web", { istio, target: { tlsContext: { minTlsVersion: "v2" } } }, "minTlsVersion"],
  ])("refuse %s in the same words", async (_, name, spec, problem) => {
    const identity = { apiVersion: "attache.dev/v1alpha1", kind: "MeshIdentity", metadata: { name }, spec };
    expect(() => parseMeshIdentities(stringify(identity), "a.yaml")).toThrow(DocumentError);
    expect(() => parseMeshIdentities(stringify(identity), "a.yaml")).toThrow(problem);
    const { admin } = await cluster();
    const answer = await admin.call("POST", collection, identity);
    expect(answer).toMatchObject({ status: 422 });
    expect(JSON.stringify(answer.body)).toContain(problem);
  });

  it("take the same, with the same defaults", async () => {
    const { admin, namespace } = await cluster();
    const own = await namespace();
    const identity = {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshIdentity",
      metadata: { name: "x".repeat(243), namespace: own },
      spec: { consul: { service: "web" }, target: { labels: { "example.com/team": "a" } } },
    };
    const [parsed] = parseMeshIdentities(stringify(identity), "a.yaml");
    const stored = await admin.create(collection.replace("default", own), identity);
    expect(stored["spec"]).toEqual(parsed?.spec);
  });
});

const collection = "/apis/attache.dev/v1alpha1/namespaces/default/meshidentities";
