import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { parse, stringify } from "yaml";
import { blocksOf } from "../../fixtures/markdown.ts";
import { buildPeer } from "../build.ts";
import { type Guarded, startGuarded } from "../guarded.ts";
import { type Cluster, cluster as sharedCluster } from "../kubernetes/cluster.ts";
import { kubeconfigOf } from "../kubernetes/kubeconfig.ts";
import { readPemSet } from "../pem-set.ts";
import { type ConsulAgent, managementToken, startConsul } from "./agent.ts";
import { type Sidecar, startSidecar } from "./sidecar.ts";
import { type TlsFiles, writeTlsFiles } from "./tls-files.ts";

const repository = join(import.meta.dirname, "../../..");
const blocks = blocksOf(await readFile(join(repository, "docs/howto/consul.md"), "utf8"));

let folder: string;
let cluster: Cluster;
let namespace: string;
let consul: ConsulAgent;
let sidecar: Sidecar;
let files: TlsFiles;
let attache: Guarded | undefined;

/** A machine on which somebody goes through the page: the commands are on the PATH, and Consul and the cluster are there. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-howto-"));
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
  await writeCommand("kubectl", `"${kubectl}" --kubeconfig="${folder}/kubeconfig" "$@"`);
  await writeCommand("consul", `"${inject("consul")}" "$@"`);
  const main = join(repository, "src/main.ts");
  await writeCommand("attache", `"${process.execPath}" --conditions=development "${main}" "$@"`);
});

afterAll(async () => {
  await attache?.[Symbol.asyncDispose]();
  await sidecar[Symbol.asyncDispose]();
  await consul[Symbol.asyncDispose]();
  await cluster.kubectl("delete", "clusterrolebinding", "consul-issuer-discovery", "--ignore-not-found");
  await rm(folder, { recursive: true });
});

describe("docs/howto/consul.md, followed to the letter,", () => {
  it("lets the ingress call the service", async () => {
    await write("web-intentions.hcl", block("hcl", "1."));
    await run(block("sh", "1."));
  });

  it("lets attaché log in, which the doctor finds as the page shows", async () => {
    for (const index of [0, 1, 2]) await run(block("sh", "2.", index));
    // What the volumes of the pod would hold.
    await run(`kubectl create token attache -n ${namespace} --audience consul > token`);
    await write("attache.yaml", block("yaml", "2.", 1));
    await write("edge.yaml", block("yaml", "3."));
    const { stdout } = await run(block("sh", "2.", 3));
    const trustDomain = /[\da-f-]{36}(?=\.consul)/;
    const address = /server \S+ +/;
    const bare = (text: string) =>
      text
        .replace(trustDomain, "")
        .replace(address, "")
        .replace(/CHECK +/, "")
        .replaceAll(/  +/g, " ")
        .trim();
    expect(bare(stdout)).toBe(bare(block("text", "2.")));
  });

  it("publishes, and says so", async () => {
    const [first, second] = [block("sh", "3."), block("sh", "3.", 1)];
    attache = startGuarded("bash", ["-c", `cd "${folder}" && PATH="${folder}/bin:$PATH" exec ${first}`]);
    await attache.until(
      () => readPemSet(join(folder, "published"), namespace, "edge").then(Boolean, () => false),
      "its files",
    );
    const { stdout } = await run(second);
    expect(stdout).toMatch(/edge .*consul/);
    expect(stdout).toMatch(/^leaf +spiffe:\/\/\S+\/ns\/default\/dc\/dc1\/svc\/edge /m);
  });

  it("calls a service with what is published, while there is the intention", async () => {
    expect((await run(block("sh", "4."))).stdout).toContain("hello from web");
    await run("consul config delete -kind service-intentions -name web");
    await expect.poll(answer, slow).not.toContain("hello");
    await run(block("sh", "1."));
    await expect.poll(answer, slow).toContain("hello from web");
  });

  it("has manifests that a cluster takes", async () => {
    const apply = async (yaml: string) => {
      await write("manifest.yaml", yaml);
      await run("kubectl apply --dry-run=server --validate=strict -f manifest.yaml");
    };
    await apply(block("yaml", "3."));
    await apply(block("yaml", "4."));
    await apply(block("yaml", "More than one identity", 1));
    await apply(block("yaml", "More than one identity", 2));
    await write("deployment.yaml", stringify(bareDeployment));
    await write("consul.yaml", block("yaml", "2."));
    const { stdout } = await run("kubectl patch --local -f deployment.yaml --patch-file consul.yaml -o yaml");
    expect(parse(stdout)).toMatchObject({
      spec: { template: { spec: { serviceAccountName: "attache", volumes: [{ name: "consul" }] } } },
    });
    await apply(stdout);
  });

  it("follows a rotation of Consul's CA by hand", async () => {
    const [before] = await published("leaf");
    await write("ca.json", block("json", "When Consul's CA rotates"));
    await run(block("sh", "When Consul's CA rotates"));
    await expect.poll(() => published("root"), slow).toHaveLength(2);
    await expect.poll(() => published("leaf"), slow).not.toEqual([before]);
    expect((await run(block("sh", "4."))).stdout).toContain("hello from web");
  });

  it("has a binding rule for identities of ServiceAccounts", async () => {
    await run(block("sh", "More than one identity"));
    const { stdout: token } = await run(
      `kubectl create serviceaccount mesh-billing -n ${namespace} && kubectl create token mesh-billing -n ${namespace} --audience consul`,
    );
    await write("bearer", token.trim().split("\n").at(-1) ?? "");
    const { stdout } = await run(
      "consul login -method attache -bearer-token-file bearer -token-sink-file sink && consul acl token read -self -token-file sink",
    );
    expect(stdout).toMatch(/Service Identities:\n +mesh-billing/);
    await run("consul logout -token-file sink");
  });

  it("serves a machine without Kubernetes, too", async () => {
    await write("attache.hcl", block("hcl", "Without Kubernetes"));
    await run(block("sh", "Without Kubernetes"));
    await write("attache.yaml", block("yaml", "Without Kubernetes"));
    const { stdout } = await run("attache doctor --config attache.yaml");
    expect(stdout).toMatch(/ok +consul: ACL token +accepted/);
  });
});

const slow = { timeout: 45_000, interval: 500 };

/** The `index`th block of a language under the heading that begins so. */
function block(language: string, heading: string, index = 0): string {
  const found = blocks.filter((one) => one.language === language && one.heading.startsWith(heading))[index];
  assert.ok(found, `the page has a block ${index} of ${language} under "${heading}…"`);
  return found.text;
}

/** What the page leaves to its reader: addresses, namespaces, and where the pod's files are. */
function onThisMachine(text: string): string {
  return text
    .replaceAll("https://kubernetes.default.svc/", `${cluster.access.server}/`)
    .replaceAll("consul-server.consul.svc:8502", `127.0.0.1:${consul.grpcTlsPort}`)
    .replaceAll("web-sidecar.shop:20000", `127.0.0.1:${sidecar.port}`)
    .replaceAll("/etc/attache/consul", folder)
    .replaceAll("-n consul ", `-n ${namespace} `)
    .replaceAll("-n emissary", `-n ${namespace}`)
    .replaceAll("namespace: emissary", `namespace: ${namespace}`)
    .replaceAll("value.namespace==emissary", `value.namespace=="${namespace}"`)
    .replaceAll("published/emissary", `published/${namespace}`);
}

async function run(text: string) {
  const env = {
    ...process.env,
    PATH: `${folder}/bin:${process.env["PATH"] ?? ""}`,
    NO_COLOR: "1",
    CONSUL_HTTP_ADDR: consul.address,
    CONSUL_HTTP_TOKEN: managementToken,
  };
  return promisify(execFile)("bash", ["-euo", "pipefail", "-c", onThisMachine(text)], { cwd: folder, env });
}

/** What the service says; nothing where its sidecar does not let us in. */
async function answer(): Promise<string> {
  return run(block("sh", "4.")).then(
    ({ stdout }) => stdout,
    () => "",
  );
}

async function write(name: string, text: string): Promise<void> {
  await writeFile(join(folder, name), onThisMachine(text));
}

async function writeCommand(name: string, command: string): Promise<void> {
  const path = join(folder, "bin", name);
  await mkdir(join(folder, "bin"), { recursive: true });
  await writeFile(path, `#!/bin/sh\nexec ${command}\n`);
  await chmod(path, 0o755);
}

/** Name and serial number of each published certificate in a role. */
async function published(role: "leaf" | "root"): Promise<string[]> {
  const { stdout } = await run("attache inspect edge --config attache.yaml -o wide");
  return stdout.split("\n").filter((line) => line.startsWith(`${role} `));
}

/** What the page takes for granted. */
const bareDeployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "attache" },
  spec: {
    selector: { matchLabels: { app: "attache" } },
    template: {
      metadata: { labels: { app: "attache" } },
      spec: { containers: [{ name: "attache", image: "attache" }] },
    },
  },
};
