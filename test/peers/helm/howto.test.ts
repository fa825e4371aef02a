import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { buildPeer } from "../build.ts";
import { startConsul } from "../consul/agent.ts";
import { serverName, writeTlsFiles } from "../consul/tls-files.ts";
import { type FollowedPage, followPage } from "../followed-page.ts";
import { startAgent } from "../istio/agent.ts";
import { startIstiod } from "../istio/istiod.ts";
import { type Cluster, startCluster } from "../kubernetes/cluster.ts";
import { kubeconfigOf } from "../kubernetes/kubeconfig.ts";
import { startSpire } from "../spire/spire.ts";
import { linkChart, startPod } from "./pod.ts";

const namespace = "emissary";

describe("a how-to of the chart, followed to the letter in a real cluster without nodes,", () => {
  it("leads to a certificate of istiod", async () => {
    const istiod = await startIstiod();
    onTestFinished(() => istiod[Symbol.asyncDispose]());
    const page = await follow("istio", istiod.cluster);
    await page.run(page.block("sh", "1."));
    const shown = await publishes(page, istiod.cluster, (settings) =>
      settings.replace("mode: istiod", `mode: istiod\n    address: 127.0.0.1:${istiod.port}`),
    );
    expect(shown).toContain("spiffe://cluster.local/ns/emissary/sa/edge");
  });

  it("leads to the identity of attaché's own pod, by the agent of a sidecar of Istio", async () => {
    const istiod = await startIstiod();
    onTestFinished(() => istiod[Symbol.asyncDispose]());
    const page = await follow("istio", istiod.cluster);
    await page.run(page.block("sh", "Through a sidecar"));
    const agent = await startAgent(istiod, { namespace, serviceAccount: "attache", secretTtl: "1h" });
    onTestFinished(() => agent[Symbol.asyncDispose]());
    const shown = await publishes(page, istiod.cluster, (settings) =>
      settings.replace("mode: sds", `mode: sds\n    socket: ${agent.socket}`),
    );
    expect(shown).toContain("spiffe://cluster.local/ns/emissary/sa/attache");
  });

  it("leads to a certificate of Consul, by the login of the ServiceAccount alone", async () => {
    const cluster = await ownCluster();
    const page = await follow("consul", cluster);
    const files = (await writeTlsFiles(page.folder)).server;
    const consul = await startConsul({
      folder: page.folder,
      acl: true,
      tls: { ...files, verifyIncoming: false },
    });
    onTestFinished(() => consul[Symbol.asyncDispose]());
    await cluster.admin.create("/api/v1/namespaces", { metadata: { name: "consul" } });
    await cluster.admin.create("/api/v1/namespaces/consul/secrets", {
      metadata: { name: "consul-ca-cert" },
      stringData: { "tls.crt": await readFile(files.caFile, "utf8") },
    });
    // As control-plane/subcommand/server-acl-init/connect_inject.go of consul-k8s v2.0.3 does.
    const reviewer = await cluster.serviceAccount(
      "consul",
      "consul-auth-method",
      [
        { apiGroups: ["authentication.k8s.io"], resources: ["tokenreviews"], verbs: ["create"] },
        { apiGroups: [""], resources: ["serviceaccounts"], verbs: ["get"] },
      ],
      { in: "*" },
    );
    const { server, ca } = cluster.access;
    await consul.call("PUT", "/acl/auth-method", {
      Name: "consul-k8s-auth-method",
      Type: "kubernetes",
      Config: { Host: server, CACert: ca, ServiceAccountJWT: await reviewer.token() },
    });
    await consul.call("PUT", "/acl/binding-rule", {
      AuthMethod: "consul-k8s-auth-method",
      BindType: "service",
      BindName: "${serviceaccount.name}",
      Selector: "serviceaccount.name!=default",
    });
    await page.run(page.block("sh", "1."));
    const shown = await publishes(page, cluster, (settings) =>
      settings
        .replace("consul-server.consul.svc:8502", `127.0.0.1:${consul.grpcTlsPort}`)
        .replace("tls:", `tls:\n      serverName: ${serverName}`),
    );
    expect(shown).toMatch(/spiffe:\S+\/dc\/dc1\/svc\/edge/);
  });

  it("leads to a certificate of SPIRE", async () => {
    const spire = await startSpire();
    onTestFinished(() => spire[Symbol.asyncDispose]());
    const cluster = await ownCluster();
    const id = "spiffe://example.org/ns/emissary/sa/attache";
    await spire.createEntry({ id });
    const page = await follow("spire", cluster);
    await page.run(page.block("sh", "1."));
    const shown = await publishes(page, cluster, (settings) =>
      settings.replace("unix:///var/run/attache/spiffe/spire-agent.sock", spire.endpointSocket),
    );
    expect(shown).toContain(id);
  });
});

async function ownCluster(): Promise<Cluster> {
  const cluster = await startCluster();
  onTestFinished(() => cluster[Symbol.asyncDispose]());
  return cluster;
}

/** A machine on which a user goes through the page: `helm` and `kubectl` are on the PATH, Emissary has its namespace. */
async function follow(name: string, { admin, access }: Cluster): Promise<FollowedPage> {
  await admin.create("/api/v1/namespaces", { metadata: { name: namespace } });
  const page = await followPage(name, {
    fill: (text) => text,
    env: () => ({ KUBECONFIG: join(page.folder, "kubeconfig") }),
  });
  onTestFinished(() => page[Symbol.asyncDispose]());
  await page.write("kubeconfig", kubeconfigOf(access));
  await linkChart(page.folder);
  await page.provide("kubectl", `"${join(await buildPeer("kubernetes"), "kubectl")}" "$@"`);
  await page.provide("helm", `"${join(await buildPeer("helm"), "helm")}" "$@"`);
  return page;
}

/** What the last step of the page shows, after the Mapping of the page and with attaché running as the release says. */
async function publishes(
  page: FollowedPage,
  cluster: Cluster,
  fill: (settings: string) => string,
): Promise<string> {
  const attache = await startPod(cluster, { release: "attache", namespace, fill });
  onTestFinished(() => attache[Symbol.asyncDispose]());
  await page.write("mapping.yaml", page.block("yaml", "2.", -1));
  await page.run("kubectl apply -f mapping.yaml");
  const { stdout } = await page.run(page.block("sh", "3.")).catch((error: unknown) => {
    throw new Error(attache.stderr, { cause: error });
  });
  const { spec } = await cluster.admin.get<{ spec: object }>(
    pathOf(resources.tlsContexts, { namespace, name: "edge" }),
  );
  expect(spec).toMatchObject({ secret: "edge-mesh-cert", ca_secret: "edge-mesh-ca" });
  expect(attache.stderr).not.toContain("FORBIDDEN");
  return stdout;
}
