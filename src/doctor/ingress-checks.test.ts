import type { RequestListener } from "node:http";
import { describe, expect, it } from "vitest";
import { fakeCluster } from "../../test/fixtures/fake-cluster.ts";
import { serveHttp } from "../../test/fixtures/http-server.ts";
import { emissary } from "../config/emissary.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { ingressChecks } from "./ingress-checks.ts";

async function check(answer: RequestListener, endpoints: readonly object[] = [{ addresses: ["127.0.0.1"] }]) {
  const { port } = new URL(await serveHttp(answer));
  const cluster = fakeCluster();
  const namespace = await cluster.namespace();
  await cluster.admin.create(pathOf(resources.endpointSlices, { namespace }), {
    metadata: { name: "one", labels: { "kubernetes.io/service-name": "admin" } },
    endpoints,
  });
  const emissaries = [emissary.parse({ service: "admin", namespace, port: Number(port) })];
  const [found] = await ingressChecks({ api: cluster.api(), emissaries, userAgent: "attache/test" });
  return found;
}

const text = { "content-type": "text/plain" };

describe("the doctor", () => {
  it("finds an Emissary well whose pods say what they have loaded", async () => {
    const found = await check((_, response) => response.writeHead(200, text).end("envoy_server_live{} 1\n"));
    expect(found).toMatchObject({ status: "ok", message: "1 of 1 pods say what they have loaded" });
  });

  it("tells of one that is something else, and of one without pods, and what to do", async () => {
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
