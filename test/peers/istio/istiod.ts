import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject } from "vitest";
import { type Guarded, startGuarded } from "../guarded.ts";
import { type OwnCluster, startCluster } from "../kubernetes/cluster.ts";
import { kubeconfigOf } from "../kubernetes/kubeconfig.ts";
import { freePorts } from "../ports.ts";
import { createCa, plug, type PluggedCa, put, rootsPem } from "./plugged-ca.ts";

export interface IstiodOptions {
  /** Of the leaves for those who ask for none; `2m` by default. */
  readonly leafTtl?: string;
  /** Lets it make a root itself, as it does where no CA is plugged in, and sign leaves with that. */
  readonly isSelfSigned?: boolean;
  /** More environment, e.g. `ENABLE_CLUSTER_TRUST_BUNDLE_API`. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * A real istiod, by default with a plugged-in CA, and a cluster of its own: it writes into all namespaces.
 */
export interface Istiod extends AsyncDisposable {
  readonly cluster: OwnCluster;
  /** Of its CA and of discovery, with TLS, on 127.0.0.1. */
  readonly port: number;
  /** Of both without TLS; its CA signs nothing there. */
  readonly plainPort: number;
  readonly webhookPort: number;
  /** The CAs whose roots it lists; the last one signs. None if it has its own. */
  readonly cas: readonly PluggedCa[];
  /** The roots that it lists, as PEM. */
  roots(): Promise<string>;
  /**
   * Lists these, and has the last one sign. A running istiod follows where one list begins or ends with the
   * other.
   */
  plug(...cas: readonly PluggedCa[]): Promise<void>;
  /** Gives a running istiod these revocation lists, as PEM: one of each certificate of its CA's chain. */
  revoke(lists: string): Promise<void>;
  stop(): Promise<void>;
  /** Resolves when it signs again. */
  start(): Promise<void>;
  /** The last of what it has written. */
  output(): string;
}

export async function startIstiod(options: IstiodOptions = {}): Promise<Istiod> {
  const { leafTtl = "2m", isSelfSigned = false, env = {} } = options;
  const cluster = await startCluster();
  const folder = await mkdtemp(join(tmpdir(), "attache-istiod-"));
  const [port = 0, plainPort = 0, http = 0, webhookPort = 0, monitoring = 0] = await freePorts(5);
  const kubeconfig = join(folder, "kubeconfig");
  const caFolder = join(folder, "cacerts");
  let cas: readonly PluggedCa[] = [];
  let running: Guarded | undefined;

  async function start(): Promise<void> {
    running ??= startGuarded(
      join(inject("istio"), "pilot-discovery"),
      [
        "discovery",
        `--kubeconfig=${kubeconfig}`,
        `--secureGRPCAddr=127.0.0.1:${port}`,
        `--grpcAddr=127.0.0.1:${plainPort}`,
        `--httpAddr=127.0.0.1:${http}`,
        `--httpsAddr=127.0.0.1:${webhookPort}`,
        `--monitoringAddr=127.0.0.1:${monitoring}`,
        "--ctrlz_port=0",
        "--log_output_level=all:warn",
      ],
      {
        cwd: folder,
        env: {
          POD_NAMESPACE: "istio-system",
          POD_NAME: "istiod",
          ROOT_CA_DIR: caFolder,
          DEFAULT_WORKLOAD_CERT_TTL: leafTtl,
          ISTIO_MULTIROOT_MESH: "true",
          ...env,
        },
      },
    );
    const isReady = () =>
      fetch(`http://127.0.0.1:${http}/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
    await running.until(isReady, "its being ready");
  }

  async function stop(): Promise<void> {
    await running?.[Symbol.asyncDispose]();
    running = undefined;
  }

  const istiod: Istiod = {
    cluster,
    port,
    plainPort,
    webhookPort,
    get cas() {
      return cas;
    },
    async roots() {
      if (cas.length > 0) return rootsPem(cas);
      let listed: string | undefined;
      await running?.until(async () => {
        listed = await configMapOf(cluster);
        return listed !== undefined;
      }, "its roots");
      return listed ?? "";
    },
    async plug(...next) {
      cas = next;
      await plug(caFolder, cas);
    },
    revoke: (lists) => put(caFolder, "ca-crl.pem", lists),
    start,
    stop,
    output: () => running?.output() ?? "",
    async [Symbol.asyncDispose]() {
      await stop();
      await cluster[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
  try {
    await writeFile(kubeconfig, kubeconfigOf(cluster.access));
    await cluster.admin.create("/api/v1/namespaces", { metadata: { name: "istio-system" } });
    if (!isSelfSigned) await istiod.plug(await createCa("first"));
    await start();
    return istiod;
  } catch (error) {
    await istiod[Symbol.asyncDispose]();
    throw error;
  }
}

/** The roots that istiod has written, once it has. */
async function configMapOf({ admin }: OwnCluster): Promise<string | undefined> {
  const path = "/api/v1/namespaces/istio-system/configmaps/istio-ca-root-cert";
  const { status, body } = await admin.call("GET", path);
  return status === 200 ? (body as { data: Record<string, string> }).data["root-cert.pem"] : undefined;
}
