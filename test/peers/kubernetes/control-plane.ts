import { sign } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildPeer } from "../build.ts";
import { type Guarded, startGuarded } from "../guarded.ts";
import { freePorts } from "../ports.ts";
import { admin, kubeconfigOf } from "./kubeconfig.ts";
import { type Access, type Rest, rest } from "./rest.ts";

export interface ControlPlaneOptions {
  /** More flags for the API server, e.g. `--max-requests-inflight=2`. */
  readonly apiServerFlags?: readonly string[];
  /** Without them a deleted namespace never goes, and quotas are not counted nor garbage collected. */
  readonly controllers?: boolean;
}

/**
 * A real etcd and a real kube-apiserver: RBAC on, {@link admin} may do everything, ServiceAccount tokens are
 * signed.
 */
export interface ControlPlane extends AsyncDisposable {
  /** For {@link admin}; plain values, so that it can be handed to another process. */
  readonly access: Access;
  /** With the rights of {@link admin}. */
  readonly admin: Rest;
  readonly apiServer: Part;
  readonly etcd: Part;
  /** Forgets all revisions of etcd but the present one: a watch from an older one gets 410 Gone. */
  compact(): Promise<void>;
  /**
   * The token with these claims in place of its own, signed as the API server signs: one that has expired,
   * say.
   */
  resign(token: string, claims: object): Promise<string>;
}

/** A server that a test may stop, and start again on the same port with all that it had on disk. */
export interface Part {
  stop(): Promise<void>;
  /** Resolves when it serves again, with these flags besides its usual ones. */
  start(...flags: readonly string[]): Promise<void>;
}

/** Names and numbers that the tests of tokens need to know. */
export const issuer = "https://kubernetes.default.svc.cluster.local";
export const audiences = [issuer, "istio-ca"];

const controllers = [
  "clusterrole-aggregation-controller",
  "endpointslice-controller",
  "garbage-collector-controller",
  "namespace-controller",
  "resourcequota-controller",
  "validatingadmissionpolicy-status-controller",
];

export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const [etcdPrograms, programs] = await Promise.all([buildPeer("etcd"), buildPeer("kubernetes")]);
  const [etcdPort = 0, peerPort = 0, port = 0] = await freePorts(3);
  const folder = await mkdtemp(join(tmpdir(), "attache-kubernetes-"));
  const server = `https://127.0.0.1:${port}`;
  const etcdAddress = `http://127.0.0.1:${etcdPort}`;
  await writeFile(join(folder, "tokens.csv"), `${admin.token},${admin.name},${admin.name},system:masters\n`);

  const etcd = part(
    () =>
      startGuarded(`${etcdPrograms}/etcd`, etcdFlags(folder, etcdAddress, `http://127.0.0.1:${peerPort}`)),
    () => isOk(`${etcdAddress}/health`),
  );
  let client: Rest | undefined;
  const apiServer = part(
    (flags) =>
      startGuarded(`${programs}/kube-apiserver`, [
        ...apiServerFlags(folder, etcdAddress, port),
        ...(options.apiServerFlags ?? []),
        ...flags,
      ]),
    async () => {
      // It makes its certificate when it starts for the first time, and may be writing it now.
      const ca = await readFile(join(folder, "apiserver.crt"), "utf8").catch(() => "");
      if (!ca.endsWith("-----END CERTIFICATE-----\n")) return false;
      client ??= rest({ server, ca, token: admin.token });
      const answer = await client.call("GET", "/readyz").catch(() => undefined);
      return answer?.status === 200;
    },
  );
  let manager: Guarded | undefined;

  async function end(): Promise<void> {
    await manager?.[Symbol.asyncDispose]();
    await apiServer.stop();
    await etcd.stop();
    await client?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  }

  try {
    // The API server waits for its etcd by itself.
    await Promise.all([etcd.start(), apiServer.start()]);
    const access = { server, ca: await readFile(join(folder, "apiserver.crt"), "utf8"), token: admin.token };
    if (options.controllers === true) {
      const kubeconfig = join(folder, "controllers.kubeconfig");
      await writeFile(kubeconfig, kubeconfigOf(access));
      manager = startGuarded(`${programs}/kube-controller-manager`, controllerFlags(folder, kubeconfig));
    }
    return {
      access,
      admin: client ?? rest(access),
      apiServer,
      etcd,
      compact: () => compact(etcdAddress),
      resign: async (token, claims) =>
        resign(token, claims, await readFile(join(folder, "apiserver.key"), "utf8")),
      [Symbol.asyncDispose]: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

function part(run: (flags: readonly string[]) => Guarded, isReady: () => Promise<boolean>): Part {
  let running: Guarded | undefined;
  return {
    async start(...flags) {
      running ??= run(flags);
      await running.until(isReady, "it was ready");
    },
    async stop() {
      await running?.[Symbol.asyncDispose]();
      running = undefined;
    },
  };
}

function etcdFlags(folder: string, address: string, peerAddress: string): string[] {
  return [
    `--data-dir=${folder}/etcd`,
    "--unsafe-no-fsync",
    "--log-level=error",
    `--listen-client-urls=${address}`,
    `--advertise-client-urls=${address}`,
    `--listen-peer-urls=${peerAddress}`,
    `--initial-advertise-peer-urls=${peerAddress}`,
    `--initial-cluster=default=${peerAddress}`,
  ];
}

function apiServerFlags(folder: string, etcdAddress: string, port: number): string[] {
  return [
    `--etcd-servers=${etcdAddress}`,
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    `--secure-port=${port}`,
    `--cert-dir=${folder}`,
    // It makes this key too, and signs with it.
    `--service-account-key-file=${folder}/apiserver.key`,
    `--service-account-signing-key-file=${folder}/apiserver.key`,
    `--service-account-issuer=${issuer}`,
    `--api-audiences=${audiences.join(",")}`,
    `--token-auth-file=${folder}/tokens.csv`,
    "--authorization-mode=RBAC",
    // It would wait for a controller to make each namespace's default ServiceAccount.
    "--disable-admission-plugins=ServiceAccount",
    "--feature-gates=ClusterTrustBundle=true",
    "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true",
    "--endpoint-reconciler-type=none",
  ];
}

function controllerFlags(folder: string, kubeconfig: string): string[] {
  return [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    `--controllers=${controllers.join(",")}`,
    "--leader-elect=false",
    "--bind-address=127.0.0.1",
    "--secure-port=0",
    `--cert-dir=${folder}`,
  ];
}

/** https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/: JSON in place of gRPC. */
async function compact(etcdAddress: string): Promise<void> {
  const { header } = (await post("kv/range", { key: btoa("/") })) as { header: { revision: string } };
  await post("kv/compaction", { revision: header.revision, physical: true });

  async function post(path: string, body: object): Promise<unknown> {
    const answer = await fetch(`${etcdAddress}/v3/${path}`, { method: "POST", body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`etcd ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }
}

function resign(token: string, claims: object, key: string): string {
  const [header = "", payload = ""] = token.split(".");
  const own = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
  const signed = `${header}.${Buffer.from(JSON.stringify({ ...own, ...claims })).toString("base64url")}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
}

async function isOk(url: string): Promise<boolean> {
  return fetch(url).then(
    (answer) => answer.ok,
    () => false,
  );
}
