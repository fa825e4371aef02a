import { afterEach, beforeEach, expect, it, onTestFinished } from "vitest";
import { type FollowedPage, followPage } from "../followed-page.ts";
import { linkChart } from "../helm/pod.ts";
import { createNamespace, deleteNamespace, describeOnNode, rolledOut } from "./cluster.ts";
import { startConsul, stopConsul } from "./consul.ts";
import type { Node } from "./node.ts";
import { isReady, releaseIn } from "./release.ts";
import { startSpire } from "./spire.ts";

const namespace = "emissary";

describeOnNode("a how-to of the chart, followed to the letter on a real node,", (node) => {
  const release = releaseIn(node, namespace);

  beforeEach(() => createNamespace(node, namespace));
  afterEach(() => release.remove());

  it("leads to a certificate of Consul, by the login of the ServiceAccount alone", async () => {
    await startConsul(node, { acl: true });
    onTestFinished(() => stopConsul(node));
    expect(await follow(node, "consul")).toMatch(/spiffe:\S+\/dc\/dc1\/svc\/edge/);
  });

  it("leads to a certificate of istiod", async () => {
    await node.load("istiod");
    await node.apply("istiod");
    onTestFinished(() => deleteNamespace(node, "istio-system"));
    await rolledOut(node, "istio-system", "deployment/istiod");
    expect(await follow(node, "istio")).toContain("spiffe://cluster.local/ns/emissary/sa/edge");
  });

  it("leads to a certificate of SPIRE, through the volume of a CSI driver", async () => {
    await node.load("spire");
    const id = "spiffe://example.org/ns/emissary/sa/attache";
    await startSpire(node, { namespace, serviceAccount: "attache", id });
    onTestFinished(() => deleteNamespace(node, "spire"));
    expect(await follow(node, "spire")).toContain(id);
    await release.until("edge", isReady);
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
