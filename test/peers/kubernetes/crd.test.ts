import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import type { MeshCertificate } from "../../../src/api/mesh-certificate.ts";
import { parseMeshCertificates } from "../../../src/api/parse.ts";
import { cipherSuites, ecdhCurves } from "../../../src/api/spec.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import type { StoredObject } from "../../../src/store/kubernetes/api-object.ts";
import { seenIdentity } from "../../../src/store/kubernetes/identity.ts";
import { DocumentError } from "../../../src/text/yaml/document-error.ts";
import { targetOf } from "../../conformance/store-target.ts";
import { cluster } from "./cluster.ts";

const istio = {};
const annotated = (annotations: object) => ({ istio, target: { tlsContext: { annotations } } });
const labelled = (labels: object) => ({ istio, target: { labels } });
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
    ["a bad key of a label", "web", labelled({ "a/b/c": "d" }), "is not a label key"],
    ["a long key of a label", "web", labelled({ [`${"a".repeat(126)}/bc`]: "d" }), "is not a label key"],
    ["a domain of no characters", "web", annotated({ "a..b/c": "" }), "keys must be NAME or DOMAIN/NAME"],
    ["an empty service", "web", { consul: { service: "" } }, "spec.consul.service"],
    ["a long service", "web", { consul: { service: "網".repeat(1025) } }, "spec.consul.service"],
    ["a long annotation", "web", annotated({ a: "b".repeat(1025) }), "spec.target.tlsContext.annotations.a"],
    [
      "an unprintable ID",
      "web",
      { istio, target: { tlsContext: { ambassadorId: ["\u0007"] } } },
      "ambassadorId",
    ],
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

/** As much of everything as the schema admits. */
function extreme(): object {
  const names = (count: number, length: number) =>
    Array.from({ length: count }, (_, index) => `${index}`.padStart(length, "a"));
  const key = (name: string) => `${"a".repeat(63)}.b/${name}`;
  return {
    mesh: "m".repeat(63),
    installation: "i".repeat(63),
    consul: { service: "🙂".repeat(1024), serviceAccount: "a".repeat(253) },
    target: {
      secret: "s".repeat(253),
      caSecret: "c".repeat(253),
      adopt: true,
      labels: Object.fromEntries(names(64, 62).map((name) => [key(name), "v".repeat(63)])),
      tlsContext: {
        name: "t".repeat(253),
        ambassadorId: names(64, 253),
        alpnProtocols: names(16, 255).join(","),
        sni: "a.".repeat(126) + "a",
        minTlsVersion: "v1.0",
        maxTlsVersion: "v1.3",
        cipherSuites,
        ecdhCurves,
        annotations: Object.fromEntries(names(16, 62).map((name) => [key(name), "~".repeat(1024)])),
      },
    },
  };
}

describe("the most that the schema admits", () => {
  it("is taken by the API server, read back the same, and published as the objects that it takes as well", async () => {
    const { admin, namespace } = await cluster();
    const own = await namespace();
    const metadata = { name: "x".repeat(243), namespace: own };
    const identity = {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshCertificate",
      metadata,
      spec: extreme(),
    };
    const [parsed] = await parseMeshCertificates(stringify(identity), "a.yaml");
    const stored = await admin.create<StoredObject>(collection.replace("default", own), identity);
    const { content } = seenIdentity(stored);
    expect(content).toMatchObject({ spec: parsed?.spec });
    for (const manifest of targetOf(content as MeshCertificate, "1")) {
      const resource = manifest.kind === "Secret" ? resources.secrets : resources.tlsContexts;
      await admin.create(pathOf(resource, { namespace: own }), manifest);
    }
  });

  it("is no more than that", async () => {
    const { admin } = await cluster();
    const labels = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`l${index}`, ""]));
    const plugin = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`p${index}`, 1]));
    const ambassadorId = Array.from({ length: 65 }, () => "a");
    for (const spec of [
      { istio, target: { labels } },
      { mesh: "p", plugin },
      { istio, target: { tlsContext: { ambassadorId } } },
      { istio, target: { tlsContext: { alpnProtocols: "h2,".repeat(2000) } } },
    ]) {
      const identity = {
        apiVersion: "attache.dev/v1alpha1",
        kind: "MeshCertificate",
        metadata: { name: "web" },
        spec,
      };
      await expect(parseMeshCertificates(stringify(identity), "a.yaml")).rejects.toThrow(DocumentError);
      expect(await admin.call("POST", collection, identity)).toMatchObject({ status: 422 });
    }
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
      spec: { consul: { service: "web" } },
    });
    const condition = (type: string, status: string) => ({
      type,
      status,
      reason: "AsSeen",
      message: "It is.",
      lastTransitionTime: time,
    });
    const conditions = ["Ready", "SourceReady", "Served", "Protected"].map((type) =>
      condition(type, type === "Served" ? "False" : "True"),
    );
    await admin.patch(`${path}/web/status`, {
      status: { mesh: "consul-dc2", conditions, spiffeId: "spiffe://dc2/web", notAfter: time },
    });
    const [head = "", row = ""] = (await kubectl("-n", own, "get", "meshcert")).split("\n");
    expect(head.split(/ {2,}/)).toEqual([
      "NAME",
      "MESH",
      "SPIFFE ID",
      "READY",
      "REASON",
      "SERVED",
      "PROTECTED",
      "EXPIRES",
      "AGE",
    ]);
    const cells = ["web", "consul-dc2", "spiffe://dc2/web", "True", "AsSeen", "False", "True", time];
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
