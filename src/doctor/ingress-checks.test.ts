import type { RequestListener } from "node:http";
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createLeaf, createRoot, type Issued } from "../../test/fixtures/pki.ts";
import { fakeCluster } from "../../test/fixtures/fake-cluster.ts";
import { serveHttp } from "../../test/fixtures/http-server.ts";
import { emissary } from "../config/emissary.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { ingressChecks } from "./ingress-checks.ts";

async function check(
  answer: RequestListener,
  endpoints: readonly object[] = [{ addresses: ["127.0.0.1"] }],
  leaf?: Issued,
) {
  const { port } = new URL(await serveHttp(answer));
  const cluster = fakeCluster();
  const namespace = await cluster.namespace();
  await cluster.admin.create(pathOf(resources.endpointSlices, { namespace }), {
    metadata: { name: "one", labels: { "kubernetes.io/service-name": "admin" } },
    endpoints,
  });
  if (leaf !== undefined) {
    const data = { "tls.crt": Buffer.from(leaf.pem).toString("base64") };
    await cluster.admin.create(pathOf(resources.secrets, { namespace }), {
      metadata: { name: "leaf" },
      data,
    });
    const context = { metadata: { name: "edge" }, spec: { secret: "leaf" } };
    await cluster.admin.create(pathOf(resources.tlsContexts, { namespace }), context);
  }
  const emissaries = [emissary.parse({ service: "admin", namespace, port: Number(port) })];
  const [found] = await ingressChecks({ api: cluster.api(), emissaries, userAgent: "attache/test" });
  return found;
}

const pageOf = (version: string) =>
  `envoy_server_live{} 1\nambassador_diagnostics_info{version="${version}"} 1.0\n`;
const text = { "content-type": "text/plain" };

describe("the doctor", () => {
  it("finds an Emissary well whose pods say what they have loaded", async () => {
    const found = await check((_, response) => response.writeHead(200, text).end("envoy_server_live{} 1\n"));
    expect(found).toMatchObject({ status: "ok", message: "1 of 1 pods say what they have loaded" });
  });

  it("warns of versions that attaché is not made for, and of leaves that an old Envoy cannot load", async () => {
    const of = (version: string, leaf?: Issued) =>
      check((_, response) => response.writeHead(200, text).end(pageOf(version)), undefined, leaf);
    expect(await of("4.1.0")).toMatchObject({
      status: "ok",
      message: "1 of 1 pods say what they have loaded, version 4.1.0",
    });
    const root = await createRoot();
    const old = await of(
      "3.10.0",
      await createLeaf(root, { keys: generateKeyPairSync("ec", { namedCurve: "P-384" }) }),
    );
    expect(old).toMatchObject({
      status: "warning",
      message: expect.stringMatching(
        /version 3\.10\.0, older than .*\. It cannot load the leaf of TLSContext .*\/edge, on the curve secp384r1$/,
      ) as string,
      remedy: expect.stringContaining("Upgrade to Emissary 4") as string,
    });
    const usual = await of("3.10.0", await createLeaf(root));
    expect(usual?.message).not.toContain("cannot load");
    expect(await of("5.0.0")).toMatchObject({ status: "warning", remedy: "Test before you rely on it." });
  });

  it("reports one that is something else and one without pods, each with a remedy", async () => {
    const other = await check((_, response) => response.writeHead(404).end());
    expect(other).toMatchObject({
      status: "failed",
      message: expect.stringContaining("answers with status 404") as string,
      remedy: expect.stringContaining("emissary:") as string,
    });
    const none = await check((_, response) => response.end(), []);
    expect(none).toMatchObject({ status: "failed", message: "has no pod that is ready" });
  });
});
