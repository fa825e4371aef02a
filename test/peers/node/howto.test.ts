import { afterAll, afterEach, beforeAll, beforeEach, expect, it, onTestFinished } from "vitest";
import { conditionOf } from "../../../src/api/status.ts";
import { type FollowedPage, followPage } from "../followed-page.ts";
import { linkChart } from "../helm/pod.ts";
import { createNamespace, deleteNamespace, describeOnNode, rolledOut } from "./cluster.ts";
import { startConsul, stopConsul } from "./consul.ts";
import { type Ingress, startIngress } from "./ingress.ts";
import type { Node } from "./node.ts";
import { releaseIn } from "./release.ts";
import { startSpire } from "./spire.ts";
import { startWebOfConsul, startWebOfIstio, startWebOfSpire, webNamespace } from "./web.ts";

const namespace = "emissary";

describeOnNode("a how-to of the chart, followed to the letter on a real node,", (node) => {
  const release = releaseIn(node, namespace);
  let ingress: Ingress;

  beforeAll(async () => {
    ingress = await startIngress(node, namespace);
  });
  afterAll(() => ingress[Symbol.asyncDispose]());
  beforeEach(async () => {
    await createNamespace(node, namespace);
    await ingress.announce(namespace);
  });
  afterEach(async () => {
    await release.remove();
    await deleteNamespace(node, webNamespace);
  });

  /** Waits for the first answer through Envoy, and until attaché has seen there what it published. */
  async function answers(): Promise<void> {
    await expect.poll(() => ingress.get("/web/")).toBe("200 hello from web");
    const status = await release.until("edge", (one) => conditionOf(one, "Served")?.status === "True");
    expect(status.usedBy).toMatchObject([{ kind: "Mapping", name: "web" }]);
  }

  it("leads to an answer of Consul's mesh, by the login of the ServiceAccount alone", async () => {
    const { token } = await startConsul(node, { acl: true });
    onTestFinished(() => stopConsul(node));
    await startWebOfConsul(node, token);
    expect(await follow(node, "consul")).toMatch(/spiffe:\S+\/dc\/dc1\/svc\/edge/);
    await answers();
  });

  it("leads to an answer of Istio's mesh", async () => {
    await node.load("istiod", "proxy");
    await node.apply("istiod");
    onTestFinished(() => deleteNamespace(node, "istio-system"));
    await rolledOut(node, "istio-system", "deployment/istiod");
    await startWebOfIstio(node);
    expect(await follow(node, "istio")).toContain("spiffe://cluster.local/ns/emissary/sa/edge");
    await answers();
  });

  it("leads to an answer of a service with SPIRE, through the volume of a CSI driver", async () => {
    await node.load("spire");
    const id = "spiffe://example.org/ns/emissary/sa/attache";
    await startSpire(node, { namespace, serviceAccount: "attache", id });
    onTestFinished(() => deleteNamespace(node, "spire"));
    await startWebOfSpire(node);
    expect(await follow(node, "spire")).toContain(id);
    await answers();
  });
});

/** What the last step of the page shows. */
async function follow(node: Node, name: string): Promise<string> {
  const page = await followPage(name, { fill: (text) => text });
  onTestFinished(() => page[Symbol.asyncDispose]());
  await linkChart(page.folder);
  await provide(page, node, "kubectl");
  await provide(page, node, "helm");
  await page.run(page.block("sh", "1."));
  await page.write("mapping.yaml", page.block("yaml", "2.", -1));
  await page.run("kubectl apply -f mapping.yaml");
  return (await page.run(page.block("sh", "3."))).stdout;
}

/** The program as it runs in the node, in the folder of the page. */
async function provide(page: FollowedPage, node: Node, program: string): Promise<void> {
  const words = await node.command(program, `--kubeconfig=${node.folder}/admin.kubeconfig`);
  const quoted = words.map((word) => (word === "--wd=/" ? '--wd="$PWD"' : `'${word}'`));
  await page.provide(program, `${quoted.join(" ")} "$@"`);
}
