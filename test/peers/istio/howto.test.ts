import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { type IstioWorkload, startIstioWorkload } from "../../e2e/istio-workload.ts";
import { buildPeer } from "../build.ts";
import { bareDeployment, type FollowedPage, followPage } from "../followed-page.ts";
import { applyDefinitions } from "../kubernetes/definitions.ts";
import { kubeconfigOf } from "../kubernetes/kubeconfig.ts";
import { readPemSet } from "../pem-set.ts";
import { type Agent, startAgent } from "./agent.ts";
import { type Istiod, startIstiod } from "./istiod.ts";
import { createCa, filesOf, type PluggedCa } from "./plugged-ca.ts";

const namespace = "emissary";

let page: FollowedPage;
let istiod: Istiod;
/** In attaché's pod, and in that of the workload `web`. */
let agents: readonly Agent[] = [];
let web: IstioWorkload;
let kubeconfig: string;

/**
 * A machine on which a user goes through the page: the commands are on the PATH, attaché has its
 * ServiceAccount, and Istio is there.
 */
beforeAll(async () => {
  istiod = await startIstiod({ leafTtl: "1m" });
  const { cluster } = istiod;
  for (const name of [namespace, "shop"]) {
    await cluster.admin.create("/api/v1/namespaces", { metadata: { name } });
  }
  kubeconfig = (await cluster.serviceAccount(namespace, "attache", [])).kubeconfig;
  await cluster.serviceAccount("shop", "web", []);
  const definitions = await readFile(join(import.meta.dirname, "authorization-policies.yaml"), "utf8");
  await applyDefinitions(cluster.admin, definitions);
  // The workload learns of new roots when it renews.
  const env = { SECRET_GRACE_PERIOD_RATIO: "0.9", ECC_SIGNATURE_ALGORITHM: "ECDSA" };
  agents = [
    await startAgent(istiod, { namespace, serviceAccount: "attache", secretTtl: "1h", env }),
    await startAgent(istiod, { namespace: "shop", serviceAccount: "web", secretTtl: "20s", env }),
  ];
  const [, ofWeb] = agents;
  web = await startIstioWorkload(ofWeb ?? expect.unreachable());
  page = await followPage("without-chart/istio", {
    fill: onThisMachine,
    env: () => ({ KUBECONFIG: kubeconfig }),
  });
  await page.write("kubeconfig", kubeconfigOf(cluster.access));
  const kubectl = join(await buildPeer("kubernetes"), "kubectl");
  await page.provide("kubectl", `"${kubectl}" --kubeconfig="${page.folder}/kubeconfig" "$@"`);
});

afterAll(async () => {
  await page[Symbol.asyncDispose]();
  await web[Symbol.asyncDispose]();
  for (const agent of agents) await agent[Symbol.asyncDispose]();
  await istiod[Symbol.asyncDispose]();
});

const rotation = "When istiod's CA changes";
const sidecar = "Through a sidecar";

describe("docs/howto/without-chart/istio.md, followed to the letter,", () => {
  it("gives the ingress an identity, and no other", async () => {
    await page.write("edge-account.yaml", page.block("yaml", "1."));
    await page.run(page.block("sh", "1."));
    const { stdout } = await page.run(
      `kubectl auth can-i --list -n ${namespace} --as system:serviceaccount:${namespace}:attache`,
    );
    expect(stdout).toMatch(/serviceaccounts\/token +\[\] +\[edge\] +\[create\]/);
    await apply(page.block("yaml", "1.", 1));
  });

  it("lets attaché reach istiod, which the doctor finds as the page shows", async () => {
    await page.write("attache.yaml", page.block("yaml", "2."));
    await page.write("edge.yaml", page.block("yaml", "3."));
    const { stdout } = await page.run(page.block("sh", "2."));
    expect(bare(stdout)).toBe(bare(onThisMachine(page.block("text", "2."))));
  });

  it("publishes, and says so", async () => {
    const [first, second] = [page.block("sh", "3."), page.block("sh", "3.", 1)];
    const attache = page.start(`env KUBECONFIG="${kubeconfig}" ${first}`);
    await attache.until(
      () => readPemSet(join(page.folder, "published"), namespace, "edge").then(Boolean, () => false),
      "its files",
    );
    const { stdout } = await page.run(second);
    expect(stdout).toMatch(/edge .*istio/);
    expect(stdout).toMatch(/^leaf +\[.* spiffe:\/\/cluster.local\/ns\/emissary\/sa\/edge$/m);
  });

  it("calls a workload that takes nothing but mTLS, which sees the identity", async () => {
    expect(await answer()).toContain("shown: spiffe://cluster.local/ns/emissary/sa/edge");
  });

  it("has manifests that a cluster takes", async () => {
    await apply(page.block("yaml", "3."));
    await apply(page.block("yaml", "4."));
    await apply(page.block("yaml", sidecar, 2));
    await page.write("deployment.yaml", stringify(bareDeployment));
    await page.write("sidecar.yaml", page.block("yaml", sidecar));
    const { stdout } = await page.run(
      "kubectl patch --local -f deployment.yaml --patch-file sidecar.yaml -o yaml",
    );
    expect(parse(stdout)).toMatchObject({
      spec: {
        template: {
          metadata: { labels: { app: "attache", "sidecar.istio.io/inject": "true" } },
          spec: { serviceAccountName: "attache", volumes: [{ name: "workload-socket" }] },
        },
      },
    });
    await apply(stdout);
  });

  it("follows a change of istiod's CA, and the workload answers all the while", async () => {
    const [old, next] = [istiod.cas[0] ?? expect.unreachable(), await createCa("new")];
    await write("old", old);
    await write("new", next);
    await page.run(page.block("sh", rotation));
    await mount(old, next);
    await expect.poll(() => page.published("root"), slow).toHaveLength(2);
    expect(await answer()).toContain("shown: ");
    await expect.poll(() => page.published("leaf"), slow).toContainEqual(expect.stringContaining("new"));
    expect(await answer()).toContain("shown: ");

    await page.run(page.block("sh", rotation, 1));
    await mount(next);
    await expect.poll(() => page.published("root"), slow).toEqual([expect.stringContaining("new root")]);
    expect((await page.run("attache inspect edge --config attache.yaml")).stdout).toMatch(
      /^retiring root +\[.*first root/m,
    );
    expect(await answer()).toContain("shown: ");
  }, 150_000);

  it("finds the agent of a sidecar as the page shows", async () => {
    await page.write("sidecar-settings.yaml", page.block("yaml", sidecar, 1));
    await page.write("edge.yaml", page.block("yaml", sidecar, 2));
    const { stdout } = await page.run("attache doctor --config sidecar-settings.yaml");
    const withoutTime = (text: string) => text.replace(/until \S+/, "until");
    expect(withoutTime(bare(stdout))).toBe(withoutTime(bare(onThisMachine(page.block("text", sidecar)))));
  });
});

const slow = { timeout: 60_000, interval: 500 };

/** What the page leaves to its reader: addresses and places. */
function onThisMachine(text: string): string {
  const [own] = agents;
  return text
    .replaceAll("istiod.istio-system.svc:15012", `127.0.0.1:${istiod.port}`)
    .replaceAll("web.shop:8080", web.service)
    .replaceAll("/var/run/secrets/workload-spiffe-uds/socket", own?.socket ?? "");
}

/** Columns are as wide as the addresses of this machine. */
function bare(table: string): string {
  return table.replaceAll(/ {2,}/g, "  ").trim();
}

async function apply(yaml: string): Promise<void> {
  await page.write("manifest.yaml", yaml);
  await page.run("kubectl apply --dry-run=server --validate=strict -f manifest.yaml");
}

/** What the workload says. */
async function answer(): Promise<string> {
  return (await page.run(page.block("sh", "4."))).stdout;
}

async function write(folder: string, ca: PluggedCa): Promise<void> {
  await mkdir(join(page.folder, folder));
  for (const [name, text] of Object.entries(filesOf([ca]))) await page.write(join(folder, name), text);
}

/** Brings istiod the Secret and the pods the ConfigMap, as the kubelet does. */
async function mount(...cas: readonly PluggedCa[]): Promise<void> {
  const { data } = await istiod.cluster.admin.get<{ data: Record<string, string> }>(
    "/api/v1/namespaces/istio-system/secrets/cacerts",
  );
  const files = Object.entries(data).map(([name, base64]) => [
    name,
    Buffer.from(base64, "base64").toString(),
  ]);
  expect(Object.fromEntries(files)).toEqual(filesOf(cas));
  await istiod.plug(...cas);
  for (const agent of agents) await agent.mountRoots();
}
