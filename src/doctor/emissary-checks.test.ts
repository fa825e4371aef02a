import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { fakeCluster } from "../../test/fixtures/fake-cluster.ts";
import { createLeaf, createRoot } from "../../test/fixtures/pki.ts";
import { pathOf, type Resource, resources } from "../kube/resources.ts";
import { emissaryChecks } from "./emissary-checks.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const root = await createRoot();
const [leaf, other] = [await createLeaf(root), await createLeaf(root)];
const weak = async (keys: ReturnType<typeof generateKeyPairSync>) => {
  const { pem, keyPem } = await createLeaf(root, { keys });
  return [pem, keyPem] as const;
};

type Pair = readonly [certificate: string, key: string];
interface World {
  readonly secrets?: Readonly<Record<string, Pair>>;
  readonly contexts?: Readonly<Record<string, object>>;
  readonly hosts?: Readonly<Record<string, object>>;
  /** The contexts that a Mapping names. */
  readonly used?: readonly string[];
  /** The annotation of a Service. */
  readonly annotation?: string;
}

async function checksOf({ secrets = {}, contexts = {}, hosts = {}, used = [], annotation }: World) {
  const cluster = fakeCluster();
  const namespace = await cluster.namespace();
  const create = (resource: Resource, name: string, rest: object, annotations = {}) =>
    cluster.admin.create(pathOf(resource, { namespace }), { metadata: { name, annotations }, ...rest });
  for (const [name, [certificate, key]] of Object.entries(secrets)) {
    const data = { "tls.crt": base64(certificate), "tls.key": base64(key) };
    await create(resources.secrets, name, { type: "kubernetes.io/tls", data });
  }
  for (const [name, spec] of Object.entries(contexts)) await create(resources.tlsContexts, name, { spec });
  for (const [name, spec] of Object.entries(hosts)) await create(resources.hosts, name, { spec });
  for (const tls of used)
    await create(resources.mappings, `to-${tls}`, { spec: { tls, service: "https://web" } });
  if (annotation !== undefined)
    await create(resources.services, "web", {}, { "getambassador.io/config": annotation });
  return { namespace, checks: await emissaryChecks(cluster.api(), [namespace, undefined]) };
}

const pair: Pair = [leaf.pem, leaf.keyPem];
const torn: Pair = [leaf.pem, other.keyPem];
const stops = expect.stringContaining("stops all configuration of that Emissary") as string;

const curve = (namedCurve: string) => weak(generateKeyPairSync("ec", { namedCurve }));
const pairs: Readonly<Record<string, readonly [pair: Pair, because: string]>> = {
  "a torn pair": [torn, "its key does not match its certificate"],
  "a key that does not parse": [[leaf.pem, "garbage"], "not PEM"],
  "a certificate that does not parse": [["garbage", leaf.keyPem], "not PEM"],
  "RSA of 1024 bits": [
    await weak(generateKeyPairSync("rsa", { modulusLength: 1024 })),
    "its key is RSA with 1024 bits",
  ],
  "a key on P-224": [await curve("secp224r1"), "its key is EC on the curve secp224r1"],
  "a key on secp256k1": [await curve("secp256k1"), "its key is EC on the curve secp256k1"],
  "an empty key usage": [
    await createLeaf(root, { keyUsage: [] }).then(({ pem, keyPem }): Pair => [pem, keyPem]),
    "it has a certificate with an empty key usage",
  ],
};

describe("the doctor", () => {
  it("finds Secrets well where all are sound", async () => {
    const { checks } = await checksOf({
      secrets: { sound: pair },
      contexts: { sound: { secret: "sound" } },
      used: ["sound"],
    });
    expect(checks).toMatchObject([{ status: "ok", message: "1 checked, as far as permissions allow" }]);
  });

  it.each(Object.entries(pairs))("names the Secret that stops all configuration: %s", async (_, given) => {
    const [bad, because] = given;
    const { namespace, checks } = await checksOf({
      secrets: { sound: pair, bad },
      contexts: { sound: { secret: "sound" }, bad: { secret: "bad" } },
      hosts: { edge: { tlsSecret: { name: "bad" } }, sound: { tlsSecret: { name: "sound" } } },
      used: ["sound", "bad"],
    });
    const message = expect.stringContaining(`of the Secret ${namespace}/bad: ${because}`) as string;
    expect(checks).toEqual([
      { name: `TLSContext ${namespace}/bad`, status: "failed", message, remedy: stops },
      { name: `Host ${namespace}/edge`, status: "failed", message, remedy: stops },
    ]);
    expect(JSON.stringify(checks)).not.toContain("PRIVATE KEY");
  });

  it("names CA Secrets with what Envoy cannot read", async () => {
    const { checks } = await checksOf({
      secrets: {
        sound: pair,
        roots: [`${root.pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----`, ""],
      },
      contexts: { web: { secret: "sound", ca_secret: "roots" } },
      used: ["web"],
    });
    expect(checks).toMatchObject([{ status: "failed", remedy: stops }]);
    expect(checks[0]?.message).toContain("/roots: ");
  });

  it.each([
    ["cipher_suites", ["AES128-SHA", "NULL-SHA"], '"NULL-SHA" is unknown to Envoy'],
    ["ecdh_curves", ["P-256", "secp256k1"], '"secp256k1" is unknown to Envoy'],
    ["alpn_protocols", "h2,", '"h2," contains an empty name'],
    ["alpn_protocols", "a".repeat(256), "a name has more than 255 bytes"],
    ["sni", "a".repeat(256), "it has more than 255 bytes"],
    ["sni", "a\0b", "it contains NUL"],
    ["cert_required", true, "it is for connections from clients only"],
  ])("names a TLSContext whose %s Envoy refuses", async (field, value, because) => {
    const { checks } = await checksOf({
      secrets: { sound: pair },
      contexts: { web: { secret: "sound", [field]: value } },
      used: ["web"],
    });
    const message = expect.stringContaining(`${field}: `) as string;
    expect(checks).toMatchObject([{ status: "failed", message, remedy: stops }]);
    expect(checks[0]?.message).toContain(because);
  });

  it("names also fields of a Host, and takes its cert_required for what it is", async () => {
    const { namespace, checks } = await checksOf({
      hosts: { bad: { tls: { alpn_protocols: ",h2" } }, sound: { tls: { cert_required: true } } },
    });
    expect(checks).toMatchObject([{ name: `Host ${namespace}/bad`, status: "failed", remedy: stops }]);
  });

  it("does not say that Envoy refuses what only its consumers cannot use", async () => {
    const { namespace, checks } = await checksOf({ contexts: { web: { secret: "gone" } }, used: ["web"] });
    expect(checks).toMatchObject([
      { status: "failed", message: `the Secret ${namespace}/gone does not exist.` },
    ]);
    expect(checks[0]?.remedy).not.toContain("stops all configuration");
  });

  it("raises no alarm for istio-certs, which Emissary has in memory alone, and looks at what names it", async () => {
    const contexts = {
      istio: { secret: "istio-certs", alpn_protocols: "istio" },
      bad: { secret: "istio-certs", cert_required: true },
    };
    const { namespace, checks } = await checksOf({ contexts, used: ["istio", "bad"] });
    expect(checks).toMatchObject([
      { name: `TLSContext ${namespace}/istio`, status: "ok" },
      { name: `TLSContext ${namespace}/bad`, status: "failed" },
    ]);
    expect(checks[0]?.message).toContain("not checked");
  });

  it("does not blame what is not used", async () => {
    const { namespace, checks } = await checksOf({
      secrets: { torn },
      contexts: { idle: { secret: "torn", cert_required: true, ecdh_curves: ["x"] } },
    });
    expect(checks).toMatchObject([
      { status: "ok" },
      {
        name: `TLSContext ${namespace}/idle`,
        status: "ok",
        message: expect.stringMatching(/^not in use/) as string,
      },
    ]);
    expect(checks.some(({ remedy }) => remedy !== undefined)).toBe(false);
  });

  it("counts `hosts` and annotations as use, and reads contexts in annotations", async () => {
    const annotation = [
      "kind: Mapping\nname: one\nservice: https://web\ntls: named",
      "kind: TLSContext\nname: terminating\nhosts: ['*']\nsecret: torn",
    ].join("\n---\n");
    const { namespace, checks } = await checksOf({
      secrets: { torn },
      contexts: { named: { secret: "torn" } },
      annotation,
    });
    expect(checks.map(({ name, status }) => `${status} ${name}`)).toEqual([
      `failed TLSContext ${namespace}/named`,
      `failed TLSContext ${namespace}/terminating`,
    ]);
  });
});

it("names the consumers whose connections may present a leaf that has ended", async () => {
  const cluster = fakeCluster();
  const namespace = await cluster.namespace();
  const create = (resource: Resource, name: string, spec: object) =>
    cluster.admin.create(pathOf(resource, { namespace }), {
      metadata: { name },
      spec: { service: "web", ...spec },
    });
  await create(resources.mappings, "usual", { tls: "edge" });
  await create(resources.mappings, "stream", { tls: "edge", timeout_ms: 0 });
  await create(resources.mappings, "socket", { tls: "edge", allow_upgrade: ["websocket"] });
  await create(resources.mappings, "plain", { timeout_ms: 0 });
  await create(resources.tcpMappings, "tcp", { tls: "edge" });
  const checks = await emissaryChecks(cluster.api(), [namespace]);
  const found = checks.find(({ name }) => name === "connections of consumers");
  expect(found).toMatchObject({ status: "warning" });
  for (const name of ["stream", "socket", "tcp"]) expect(found?.message).toContain(`${namespace}/${name}`);
  for (const name of ["usual", "plain"]) expect(found?.message).not.toContain(`${namespace}/${name}`);
});
