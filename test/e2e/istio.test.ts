import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Agent, startAgent } from "../peers/istio/agent.ts";
import { type Istiod, startIstiod } from "../peers/istio/istiod.ts";
import { createCa } from "../peers/istio/plugged-ca.ts";
import { type AttacheProcess, startAttacheProcess } from "../peers/kubernetes/attache-process.ts";
import { type Emissary, startEmissary } from "./emissary.ts";
import { type IstioWorkload, startIstioWorkload } from "./istio-workload.ts";
import { startLoad } from "./load.ts";
import { followRotations } from "./rotations.ts";

/** Only a failure takes so long. */
const waiting = { timeout: 60_000, interval: 100 };
const namespace = "emissary";

let istiod: Istiod;
let agent: Agent;
let workload: IstioWorkload;
let emissary: Emissary;
let attache: AttacheProcess;

beforeAll(async () => {
  istiod = await startIstiod();
  const { cluster } = istiod;
  const { access, admin } = cluster;
  await admin.create("/api/v1/namespaces", { metadata: { name: namespace } });
  for (const account of ["web", "edge"]) await cluster.serviceAccount(namespace, account, []);
  // The workload's own leaf is renewed every two seconds.
  const env = { SECRET_GRACE_PERIOD_RATIO: "0.9", ECC_SIGNATURE_ALGORITHM: "ECDSA" };
  agent = await startAgent(istiod, { namespace, serviceAccount: "web", secretTtl: "20s", env });
  workload = await startIstioWorkload(agent);
  emissary = await startEmissary({ access, admin, namespace });
  const everything = { apiGroups: ["*"], resources: ["*"], verbs: ["*"] };
  const { kubeconfig } = await cluster.serviceAccount(namespace, "attache", [everything], { in: "*" });
  attache = await startAttacheProcess({
    meshes: { istio: { adapter: "istio", mode: "istiod", address: `127.0.0.1:${istiod.port}`, ttl: "1m" } },
    store: { kind: "kubernetes", kubernetes: { namespaces: [namespace], kubeconfig } },
    emissary: [emissary.settings],
  });
  await admin.create(`/apis/attache.dev/v1alpha1/namespaces/${namespace}/meshcertificates`, {
    apiVersion: "attache.dev/v1alpha1",
    kind: "MeshCertificate",
    metadata: { name: "storefront" },
    spec: { istio: { serviceAccount: "edge" } },
  });
  const contexts = `/apis/getambassador.io/v3alpha1/namespaces/${namespace}`;
  const published = async () => (await admin.call("GET", `${contexts}/tlscontexts/storefront`)).status;
  await vi.waitFor(async () => expect(await published(), attache.output()).toBe(200), waiting);
  await admin.create(`${contexts}/mappings`, {
    apiVersion: "getambassador.io/v3alpha1",
    kind: "Mapping",
    metadata: { name: "web" },
    spec: { hostname: "*", prefix: "/", service: workload.service, tls: "storefront", stats_name: "web" },
  });
});

afterAll(async () => {
  for (const one of [attache, emissary, workload, agent, istiod]) await one[Symbol.asyncDispose]();
});

describe("a workload of Istio that takes nothing but mTLS", () => {
  it("answers Emissary's requests, and was shown the identity of the ServiceAccount", async () => {
    await vi.waitFor(async () => expect((await emissary.request("/")).status).toBe(200), waiting);
    const { headers } = await emissary.request("/");
    expect(headers.get("shown")).toBe(`spiffe://cluster.local/ns/${namespace}/sa/edge`);
  });

  it("goes on answering through rotations of the leaf and of the root, in which attaché trusts the old one beside the new", async () => {
    const { access } = istiod.cluster;
    await using rotations = await followRotations({ access, namespace }, emissary, {
      storefront: ["web"],
    });
    await using load = startLoad(() => emissary.pods.map((pod) => emissary.url("/", pod)));
    const served = () =>
      rotations.all.filter((one) => one.kind === "leaf" && one.servedAt !== undefined).length;
    const second = await createCa("second");
    const [pod] = emissary.pods;
    const before = pod?.reconfigures.length;
    // As Istio tells operators to do it: all trust the new root before it signs.
    await istiod.plug(second, ...istiod.cas);
    await agent.mountRoots();
    const changes = () => pod?.reconfigures.slice(before).flatMap((one) => one.changes);
    await vi.waitFor(() => expect(changes()).toContain(`secrets/${namespace}/storefront-mesh-ca`), waiting);
    await istiod.plug(...istiod.cas, second);
    await agent.mountRoots();
    const presented = () => readFile(join(agent.outputCerts, "cert-chain.pem"), "utf8");
    await vi.waitFor(
      async () => expect(await presented()).toContain(second.intermediate.pem.trim()),
      waiting,
    );
    await vi.waitFor(() => expect(served(), attache.output()).toBeGreaterThanOrEqual(2), waiting);
    expect(load.sent).toBeGreaterThan(0);
    expect(load.failures).toEqual([]);
    expect(workload.tap.plaintext).toBe(0);
  });
});
