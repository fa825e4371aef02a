import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { parseMeshCertificates } from "../../../src/api/parse.ts";
import { DocumentError } from "../../../src/text/yaml/document-error.ts";
import { cluster } from "./cluster.ts";

const istio = {};
const annotated = (annotations: object) => ({ istio, target: { tlsContext: { annotations } } });
const many = Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`a${index}`, ""]));
const differ = "secret and caSecret must differ";

describe("the schema of MeshCertificate and the API server", () => {
  it.each([
    ["no source", "web", {}, "exactly one source is needed"],
    ["two sources", "web", { istio, consul: { service: "web" } }, "exactly one source is needed"],
    ["a plug-in without its mesh", "web", { plugin: {} }, "a plug-in's identity needs the name of its mesh"],
    ["one name for both Secrets", "web", { istio, target: { secret: "a", caSecret: "a" } }, differ],
    ["the default name of the other Secret", "web", { istio, target: { caSecret: "web-mesh-cert" } }, differ],
    ["a long name", "x".repeat(244), { istio }, "the name must have at most 243 characters"],
    ["a bad label", "web", { istio, target: { labels: { team: "a b" } } }, "spec.target.labels.team"],
    ["a bad annotation", "web", annotated({ "a b": "c" }), "keys must be NAME or DOMAIN/NAME"],
    [
      "an annotation of Emissary",
      "web",
      annotated({ "getambassador.io/config": "" }),
      "must not use a domain of",
    ],
    ["an annotation of attaché", "web", annotated({ "x.attache.dev/nudge": "" }), "must not use a domain of"],
    ["many annotations", "web", annotated(many), "must have at most 16"],
    ["a bad name", "web", { istio, target: { secret: "A" } }, "spec.target.secret"],
    ["a wrong value", "web", { istio, target: { tlsContext: { minTlsVersion: "v2" } } }, "minTlsVersion"],
  ])("refuse %s in the same words", async (_, name, spec, problem) => {
    const identity = {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshCertificate",
      metadata: { name },
      spec,
    };
    const parsing = parseMeshCertificates(stringify(identity), "a.yaml");
    await expect(parsing).rejects.toThrow(DocumentError);
    await expect(parsing).rejects.toThrow(problem);
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
      kind: "MeshCertificate",
      metadata: { name: "x".repeat(243), namespace: own },
      spec: {
        consul: { service: "web" },
        target: {
          labels: { "example.com/team": "a" },
          tlsContext: { annotations: { "example.com/team": "a", b: "" } },
        },
      },
    };
    const [parsed] = await parseMeshCertificates(stringify(identity), "a.yaml");
    const stored = await admin.create(collection.replace("default", own), identity);
    expect(stored["spec"]).toEqual(parsed?.spec);
  });
});

describe("kubectl", () => {
  it("explains every field", async () => {
    const { kubectl } = await cluster();
    const definition = await kubectl("get", "crd", "meshcertificates.attache.dev", "-o", "json");
    const [version] = (
      JSON.parse(definition) as { spec: { versions: { schema: { openAPIV3Schema: Schema } }[] } }
    ).spec.versions;
    const { spec, status } = version?.schema.openAPIV3Schema.properties ?? {};
    expect([...unexplained("spec", spec), ...unexplained("status", status)]).toEqual([]);
    expect(await kubectl("explain", "meshcertificate.spec.target.tlsContext")).toContain(
      "The TLSContext that Mappings name in `tls:`.",
    );
  });

  it("shows what one wants to know first", async () => {
    const { admin, kubectl, namespace } = await cluster();
    const own = await namespace();
    const path = collection.replace("default", own);
    await admin.create(path, {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshCertificate",
      metadata: { name: "web" },
      spec: { mesh: "consul-dc2", consul: { service: "web" } },
    });
    const condition = (type: string, status: string) => ({
      type,
      status,
      reason: "AsSeen",
      message: "It is.",
      lastTransitionTime: time,
    });
    const conditions = [condition("Ready", "True"), condition("Served", "False")];
    await admin.patch(`${path}/web/status`, {
      status: { conditions, spiffeId: "spiffe://dc2/web", notAfter: time },
    });
    const [head = "", row = ""] = (await kubectl("-n", own, "get", "meshcert")).split("\n");
    expect(head.split(/ {2,}/)).toEqual(["NAME", "MESH", "SPIFFE ID", "READY", "SERVED", "EXPIRES", "AGE"]);
    const cells = ["web", "consul-dc2", "spiffe://dc2/web", "True", "False", time];
    expect(row.split(/ {2,}/).slice(0, -1)).toEqual(cells);
    await kubectl("-n", own, "wait", "meshcert/web", "--for=condition=Ready", "--timeout=10s");
  });

  it("takes no status by the way of the spec", async () => {
    const { admin, namespace } = await cluster();
    const identity = {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshCertificate",
      metadata: { name: "web" },
      spec: { istio },
      status: { conditions: [] },
    };
    const stored = await admin.create(collection.replace("default", await namespace()), identity);
    expect(stored["status"]).toBeUndefined();
  });
});

const time = "2026-01-01T00:00:00Z";

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

/** The fields of which nothing is said. */
function unexplained(path: string, schema: Schema | undefined): string[] {
  const fields = { ...schema?.properties, ...schema?.items?.properties };
  return [
    ...(schema?.description === undefined ? [path] : []),
    ...Object.entries(fields).flatMap(([name, field]) => unexplained(`${path}.${name}`, field)),
  ];
}

const collection = "/apis/attache.dev/v1alpha1/namespaces/default/meshcertificates";
