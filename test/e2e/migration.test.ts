import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, inject, it, onTestFinished } from "vitest";
import { edited, manifests } from "../fixtures/migration.ts";
import { startAgent } from "../peers/istio/agent.ts";
import { startIstiod } from "../peers/istio/istiod.ts";
import { type Spire, startSpire } from "../peers/spire/spire.ts";
import { startIstioWorkload } from "./istio-workload.ts";
import { type ConsulAgent, startConsul } from "../peers/consul/agent.ts";
import { startSidecar } from "../peers/consul/sidecar.ts";
import { temporaryFolder } from "../peers/helm/temporary.ts";
import { type Cluster, startCluster } from "../peers/kubernetes/cluster.ts";
import { carryOut, type MigrationReport } from "./migration-stage.ts";
import { openTap } from "./tap.ts";

/** Nothing lost, and each time another leaf: that of attaché in between. */
function expectNothingLost(report: MigrationReport): void {
  expect(report.failures).toEqual([]);
  expect(report.plaintext).toBe(0);
  expect(report.sent).toBeGreaterThan(100);
}

function stackOfTest(): AsyncDisposableStack {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  return stack;
}

/** The former program asks the agent, and writes its answers into Secrets. */
async function setConsulStage(stack: AsyncDisposableStack) {
  const cluster = stack.use(await startCluster());
  const consul = stack.use(await startConsul({ folder: await temporaryFolder() }));
  const server = createServer((_, response) => response.end("served"));
  server.keepAliveTimeout = 0;
  await once(server.listen(0, "127.0.0.1"), "listening");
  const sidecar = stack.use(await startSidecar(consul, "web", server));
  const tap = stack.use(await openTap(sidecar.port));
  return { cluster, consul, tap };
}

interface Leaf {
  readonly CertPEM: string;
  readonly PrivateKeyPEM: string;
}

interface Roots {
  readonly Roots: readonly { readonly RootCert: string; readonly Active: boolean }[];
}

/** Writes once, as long as the Secret is not there: the leaf does not change meanwhile. */
function writerOf(
  { admin }: Cluster,
  consul: ConsulAgent,
  namespace: string,
  names: { leaf: string; roots?: string; service: string },
) {
  return async (isThere: boolean) => {
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    if (!isThere || (await admin.call("GET", `${path}/${names.leaf}`)).status === 200) return;
    const leaf = (await consul.call("GET", `/agent/connect/ca/leaf/${names.service}`)) as Leaf;
    const { Roots: roots } = (await consul.call("GET", "/agent/connect/ca/roots")) as Roots;
    const [active] = roots.filter((root) => root.Active);
    if (names.roots !== undefined)
      await admin.apply(`${path}/${names.roots}`, {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: names.roots },
        type: "Opaque",
        stringData: { "tls.crt": roots.map((root) => root.RootCert).join("") },
      });
    await admin.apply(`${path}/${names.leaf}`, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: names.leaf },
      type: "kubernetes.io/tls",
      stringData: { "tls.crt": leaf.CertPEM + (active?.RootCert ?? ""), "tls.key": leaf.PrivateKeyPEM },
    });
  };
}

const slow = 240_000;

it(
  "leads from Emissary's Consul connector to attaché and back, and no request is lost",
  async () => {
    const stack = stackOfTest();
    const { cluster, consul, tap } = await setConsulStage(stack);
    const text = edited(
      await manifests("consul-connector"),
      [
        "              valueFrom:\n                fieldRef:\n                  fieldPath: status.hostIP\n",
        "              value: 10.0.0.5\n",
      ],
      ["  namespace: default\n", "  namespace: ambassador\n"],
      [
        "  service: quote-connect-sidecar-proxy\n  resolver: consul-dc1\n",
        `  service: 127.0.0.1:${tap.port}\n`,
      ],
    );
    const names = { leaf: "ambassador-consul-connect", service: "ambassador" };
    const report = await carryOut(stack, {
      cluster,
      page: "migrate-consul",
      namespace: "ambassador",
      manifests: text,
      deployment: "ambassador-consul-connect-integration",
      program: writerOf(cluster, consul, "ambassador", names),
      settings: (settings) => settings.replace("10.0.0.5:8500", `127.0.0.1:${consul.port}`),
      tap,
      paths: ["/quote-connect/"],
    });
    expectNothingLost(report);
  },
  slow,
);

it(
  "leads from consul-template to attaché and back, and no request is lost",
  async () => {
    const stack = stackOfTest();
    const { cluster, consul, tap } = await setConsulStage(stack);
    const text = edited(
      await manifests("consul-template"),
      ['value: "$(HOST_IP):8500"', 'value: "10.0.0.5:8500"'],
      ["  service: web-sidecar.shop:20000\n", `  service: 127.0.0.1:${tap.port}\n`],
    );
    const names = { leaf: "edge-leaf", roots: "edge-roots", service: "edge" };
    const report = await carryOut(stack, {
      cluster,
      page: "migrate-consul",
      pageNamespace: "ambassador",
      namespace: "emissary",
      manifests: text,
      deployment: "consul-template",
      program: writerOf(cluster, consul, "emissary", names),
      settings: (settings) => settings.replace("10.0.0.5:8500", `127.0.0.1:${consul.port}`),
      tap,
      paths: ["/web/"],
    });
    expectNothingLost(report);
  },
  slow,
);

it(
  "leads from Emissary's Istio sidecar to attaché and back, and no request is lost",
  async () => {
    const stack = stackOfTest();
    const istiod = stack.use(await startIstiod());
    const { cluster } = istiod;
    await cluster.admin.create("/api/v1/namespaces", { metadata: { name: "emissary" } });
    for (const account of ["web", "emissary-ingress"]) await cluster.serviceAccount("emissary", account, []);
    const env = { ECC_SIGNATURE_ALGORITHM: "ECDSA" };
    const agentOf = async (serviceAccount: string) =>
      stack.use(await startAgent(istiod, { namespace: "emissary", serviceAccount, secretTtl: "1h", env }));
    const workload = stack.use(await startIstioWorkload(await agentOf("web")));
    const sidecar = await agentOf("emissary-ingress");
    let files: string | undefined = sidecar.outputCerts;
    const text = edited(await manifests("istio-sidecar"), [
      "  service: quote:80 # Be explicit about port 80.\n",
      `  service: ${workload.service}\n`,
    ]);
    const report = await carryOut(stack, {
      cluster,
      page: "migrate-istio-spire",
      namespace: "emissary",
      manifests: text,
      deployment: "emissary-ingress",
      // The sidecar goes with the annotation that has it write files.
      program: (_, deployment) => {
        const { annotations = {} } = deployment?.spec.template.metadata ?? {};
        files = "proxy.istio.io/config" in annotations ? sidecar.outputCerts : undefined;
        return Promise.resolve();
      },
      istioFiles: () => files,
      // No controller makes pods of the Deployment here, nor remembers what it was before.
      standIns: {
        "kubectl exec [^|]* -- cat \\S+": `cat ${sidecar.outputCerts}/cert-chain.pem`,
        "kubectl rollout status .*": "true",
        "kubectl rollout undo .*":
          "kubectl apply --server-side --force-conflicts -f former.yaml -l app.kubernetes.io/name=emissary-ingress",
      },
      settings: (settings) =>
        settings.replace("mode: istiod", `mode: istiod\n    address: 127.0.0.1:${istiod.port}`),
      tap: workload.tap,
      paths: ["/backend/"],
    });
    expectNothingLost(report);
  },
  slow,
);

it(
  "leads from spiffe-helper to attaché and back, and no request is lost",
  async () => {
    const stack = stackOfTest();
    const cluster = stack.use(await startCluster());
    const spire = stack.use(await startSpire());
    await spire.createEntry({ id: "spiffe://example.org/edge", ttl: 3_600 });
    const upstream = stack.use(await startSpireUpstream(spire));
    const text = edited(await manifests("spiffe-helper"), [
      "  service: https://web.shop:8443\n",
      `  service: https://127.0.0.1:${upstream.tap.port}\n`,
    ]);
    const report = await carryOut(stack, {
      cluster,
      page: "migrate-istio-spire",
      namespace: "emissary",
      manifests: text,
      deployment: "spiffe-helper",
      program: helperOf(cluster, spire),
      // Its entry is that of all processes of this user.
      standIns: {
        "^CLASS=.*$": "true",
        "^printf .*clusterspiffe.*$|^printf .*$": "true",
        "kubectl delete clusterspiffeid .*": "true",
      },
      settings: (settings) =>
        settings.replace("unix:///var/run/attache/spiffe/spire-agent.sock", spire.endpointSocket),
      tap: upstream.tap,
      paths: ["/web/"],
    });
    expectNothingLost(report);
  },
  slow,
);

/** What spiffe-helper and its hook do, by SPIRE's own client. */
function helperOf({ admin }: Cluster, spire: Spire) {
  return async (isThere: boolean) => {
    const path = "/api/v1/namespaces/emissary/secrets";
    if (!isThere || (await admin.call("GET", `${path}/mesh-svid`)).status === 200) return;
    const { chain, key, roots } = await fetchSvid(spire);
    const secret = (name: string, type: string, stringData: object) =>
      admin.apply(`${path}/${name}`, {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name },
        type,
        stringData,
      });
    await secret("mesh-svid-ca", "Opaque", { "tls.crt": roots });
    await secret("mesh-svid", "kubernetes.io/tls", { "tls.crt": chain, "tls.key": key });
  };
}

async function fetchSvid({ socketPath, folder }: Spire) {
  const at = join(folder, "helper");
  await mkdir(at, { recursive: true });
  const args = ["api", "fetch", "x509", "-socketPath", socketPath, "-write", at];
  await promisify(execFile)(join(inject("spire"), "spire-agent"), args);
  const [chain, key, roots] = await Promise.all(
    ["svid.0.pem", "svid.0.key", "bundle.0.pem"].map((file) => readFile(join(at, file), "utf8")),
  );
  return { chain, key, roots };
}

/** An HTTP server that takes SVIDs of the trust domain alone. */
async function startSpireUpstream(spire: Spire) {
  const at = join(spire.folder, "web");
  await mkdir(at);
  await spire.server("x509", "mint", "-spiffeID", "spiffe://example.org/web", "-ttl", "1h", "-write", at);
  const [cert, key, ca] = await Promise.all(
    ["svid.pem", "key.pem", "bundle.pem"].map((file) => readFile(join(at, file))),
  );
  const server = createHttps({ cert, key, ca, requestCert: true, rejectUnauthorized: true }, (_, response) =>
    response.end("served"),
  );
  server.keepAliveTimeout = 0;
  await once(server.listen(0, "127.0.0.1"), "listening");
  const tap = await openTap((server.address() as AddressInfo).port);
  return {
    tap,
    async [Symbol.asyncDispose]() {
      await tap[Symbol.asyncDispose]();
      server.close();
      server.closeAllConnections();
    },
  };
}
