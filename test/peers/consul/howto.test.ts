import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { parse, stringify } from "yaml";
import { buildPeer } from "../build.ts";
import { bareDeployment, type FollowedPage, followPage } from "../followed-page.ts";
import { type Cluster, cluster as sharedCluster } from "../kubernetes/cluster.ts";
import { kubeconfigOf } from "../kubernetes/kubeconfig.ts";
import { readPemSet } from "../pem-set.ts";
import { type ConsulAgent, managementToken, startConsul } from "./agent.ts";
import { type Sidecar, startSidecar } from "./sidecar.ts";
import { type TlsFiles, writeTlsFiles } from "./tls-files.ts";

let page: FollowedPage;
let cluster: Cluster;
let namespace: string;
let consul: ConsulAgent;
let sidecar: Sidecar;
let files: TlsFiles;

/**
 * A machine on which a user goes through the page: the commands are on the PATH, and Consul and the cluster
 * are there.
 */
beforeAll(async () => {
  page = await followPage("without-chart/consul", {
    fill: onThisMachine,
    env: () => ({ CONSUL_HTTP_ADDR: consul.address, CONSUL_HTTP_TOKEN: managementToken }),
  });
  const { folder } = page;
  files = (await writeTlsFiles(folder)).server;
  cluster = await sharedCluster();
  namespace = await cluster.namespace();
  await cluster.serviceAccount(namespace, "attache", []);
  const ca = { "ca.crt": cluster.access.ca };
  const core = `/api/v1/namespaces/${namespace}`;
  // A controller would do the one, and Consul's chart the other.
  await cluster.admin.create(`${core}/configmaps`, { metadata: { name: "kube-root-ca.crt" }, data: ca });
  await cluster.admin.create(`${core}/secrets`, {
    metadata: { name: "consul-ca-cert" },
    stringData: { "tls.crt": await readFile(files.caFile, "utf8") },
  });
  consul = await startConsul({ folder, acl: true, tls: { ...files, verifyIncoming: false } });
  const web = createServer((_request, response) => response.end("hello from web\n")).listen(0, "127.0.0.1");
  await once(web, "listening");
  sidecar = await startSidecar(consul, "web", web);

  await writeFile(join(folder, "kubeconfig"), kubeconfigOf(cluster.access));
  const kubectl = join(await buildPeer("kubernetes"), "kubectl");
  await page.provide("kubectl", `"${kubectl}" --kubeconfig="${folder}/kubeconfig" "$@"`);
  await page.provide("consul", `"${inject("consul")}" "$@"`);
});

afterAll(async () => {
  await page[Symbol.asyncDispose]();
  await sidecar[Symbol.asyncDispose]();
  await consul[Symbol.asyncDispose]();
  await cluster.kubectl("delete", "clusterrolebinding", "consul-issuer-discovery", "--ignore-not-found");
});

describe("docs/howto/without-chart/consul.md, followed to the letter,", () => {
  it("lets the ingress call the service", async () => {
    await page.write("web-intentions.hcl", page.block("hcl", "1."));
    await page.run(page.block("sh", "1."));
  });

  it("lets attaché log in, which the doctor finds as the page shows", async () => {
    for (const index of [0, 1, 2]) await page.run(page.block("sh", "2.", index));
    // What the volumes of the pod would hold.
    await page.run(`kubectl create token attache -n ${namespace} --audience consul > token`);
    await page.write("attache.yaml", page.block("yaml", "2.", 1));
    await page.write("edge.yaml", page.block("yaml", "3."));
    const { stdout } = await page.run(page.block("sh", "2.", 3));
    const trustDomain = /[\da-f-]{36}(?=\.consul)/;
    const address = /server \S+ +/;
    const bare = (text: string) =>
      text
        .replace(trustDomain, "")
        .replace(address, "")
        .replace(/CHECK +/, "")
        .replaceAll(/  +/g, " ")
        .trim();
    expect(bare(stdout)).toBe(bare(page.block("text", "2.")));
  });

  it("publishes, and says so", async () => {
    const [first, second] = [page.block("sh", "3."), page.block("sh", "3.", 1)];
    const attache = page.start(first);
    await attache.until(
      () => readPemSet(join(page.folder, "published"), namespace, "edge").then(Boolean, () => false),
      "its files",
    );
    const { stdout } = await page.run(second);
    expect(stdout).toMatch(/edge .*consul/);
    expect(stdout).toMatch(/^leaf +\[.* spiffe:\/\/\S+\/ns\/default\/dc\/dc1\/svc\/edge$/m);
  });

  it("calls a service with what is published, while there is the intention", async () => {
    expect((await page.run(page.block("sh", "4."))).stdout).toContain("hello from web");
    await page.run("consul config delete -kind service-intentions -name web");
    await expect.poll(answer, slow).not.toContain("hello");
    await page.run(page.block("sh", "1."));
    await expect.poll(answer, slow).toContain("hello from web");
  });

  it("has manifests that a cluster takes", async () => {
    const apply = async (yaml: string) => {
      await page.write("manifest.yaml", yaml);
      await page.run("kubectl apply --dry-run=server --validate=strict -f manifest.yaml");
    };
    await apply(page.block("yaml", "3."));
    await apply(page.block("yaml", "4."));
    await apply(page.block("yaml", "More than one identity", 1));
    await apply(page.block("yaml", "More than one identity", 2));
    await page.write("deployment.yaml", stringify(bareDeployment));
    await page.write("consul.yaml", page.block("yaml", "2."));
    const { stdout } = await page.run(
      "kubectl patch --local -f deployment.yaml --patch-file consul.yaml -o yaml",
    );
    expect(parse(stdout)).toMatchObject({
      spec: { template: { spec: { serviceAccountName: "attache", volumes: [{ name: "consul" }] } } },
    });
    await apply(stdout);
  });

  it("follows a rotation of Consul's CA by hand", async () => {
    const [before] = await page.published("leaf");
    await page.write("ca.json", page.block("json", "When Consul's CA rotates"));
    await page.run(page.block("sh", "When Consul's CA rotates"));
    await expect.poll(() => page.published("root"), slow).toHaveLength(2);
    await expect.poll(() => page.published("leaf"), slow).not.toEqual([before]);
    expect((await page.run(page.block("sh", "4."))).stdout).toContain("hello from web");
  });

  it("has a binding rule for identities of ServiceAccounts", async () => {
    await page.run(page.block("sh", "More than one identity"));
    const { stdout: token } = await page.run(
      `kubectl create serviceaccount mesh-billing -n ${namespace} && kubectl create token mesh-billing -n ${namespace} --audience consul`,
    );
    await page.write("bearer", token.trim().split("\n").at(-1) ?? "");
    const { stdout } = await page.run(
      "consul login -method attache -bearer-token-file bearer -token-sink-file sink && consul acl token read -self -token-file sink",
    );
    expect(stdout).toMatch(/Service Identities:\n +mesh-billing/);
    await page.run("consul logout -token-file sink");
  });

  it("serves a machine without Kubernetes, too", async () => {
    await page.write("attache.hcl", page.block("hcl", "Without Kubernetes"));
    await page.run(page.block("sh", "Without Kubernetes"));
    await page.write("attache.yaml", page.block("yaml", "Without Kubernetes"));
    const { stdout } = await page.run("attache doctor --config attache.yaml");
    expect(stdout).toMatch(/ok +consul: ACL token +accepted/);
  });
});

const slow = { timeout: 45_000, interval: 500 };

/** What the page leaves to its reader: addresses, namespaces, and where the pod's files are. */
function onThisMachine(text: string): string {
  return text
    .replaceAll("https://kubernetes.default.svc/", `${cluster.access.server}/`)
    .replaceAll("consul-server.consul.svc:8502", `127.0.0.1:${consul.grpcTlsPort}`)
    .replaceAll("web-sidecar.shop:20000", `127.0.0.1:${sidecar.port}`)
    .replaceAll("/etc/attache/consul", page.folder)
    .replaceAll("-n consul ", `-n ${namespace} `)
    .replaceAll("-n emissary", `-n ${namespace}`)
    .replaceAll("namespace: emissary", `namespace: ${namespace}`)
    .replaceAll("value.namespace==emissary", `value.namespace=="${namespace}"`)
    .replaceAll("published/emissary", `published/${namespace}`);
}

/** What the service says; nothing where its sidecar does not let us in. */
async function answer(): Promise<string> {
  return page.run(page.block("sh", "4.")).then(
    ({ stdout }) => stdout,
    () => "",
  );
}
