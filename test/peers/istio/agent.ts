import { access, chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { inject } from "vitest";
import { type Guarded, startGuarded } from "../guarded.ts";
import { freePorts } from "../ports.ts";
import type { Istiod } from "./istiod.ts";

export interface AgentOptions {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Of its leaves, which it renews when half of that is over. */
  readonly secretTtl: string;
  /** More environment, e.g. `ECC_SIGNATURE_ALGORITHM`. */
  readonly env?: Readonly<Record<string, string>>;
  /** More of the mesh's `ProxyConfig`, e.g. `privateKeyProvider`. */
  readonly proxyConfig?: object;
}

/** A real Istio agent as in a pod's sidecar, with nothing in Envoy's place. */
export interface Agent extends AsyncDisposable {
  readonly socket: string;
  /** Its `OUTPUT_CERTS`. */
  readonly outputCerts: string;
  /**
   * Gives it istiod's roots of now, as the kubelet does with the ConfigMap that is mounted: within a minute,
   * as a rule.
   */
  mountRoots(): Promise<void>;
  /** Gives it this in place of its token, or a good one. */
  mountToken(token?: string): Promise<void>;
  stop(): Promise<void>;
  start(): Promise<void>;
  output(): string;
}

export async function startAgent(istiod: Istiod, options: AgentOptions): Promise<Agent> {
  const { namespace, serviceAccount, secretTtl, env = {}, proxyConfig = {} } = options;
  const folder = await mkdtemp(join(tmpdir(), "attache-agent-"));
  const place = (name: string) => join(folder, name);
  const socket = place("var/run/secrets/workload-spiffe-uds/socket");
  const outputCerts = place("certs");
  const [statusPort = 0, adminPort = 0] = await freePorts(2);
  let running: Guarded | undefined;

  async function write(name: string, text: string): Promise<void> {
    await mkdir(dirname(place(name)), { recursive: true });
    await writeFile(place(name), text);
  }

  const mountRoots = async () => write("var/run/secrets/istio/root-cert.pem", await istiod.roots());

  /** @param token by default a good one. */
  async function mountToken(token?: string): Promise<void> {
    await write("var/run/secrets/tokens/istio-token", token ?? (await mint()));
  }

  async function mint(): Promise<string> {
    const { status } = await istiod.cluster.admin.create<{ status: { token: string } }>(
      `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`,
      { spec: { audiences: ["istio-ca"], expirationSeconds: 3600 } },
    );
    return status.token;
  }

  async function start(): Promise<void> {
    // A socket that is left over makes it serve files only.
    await rm(socket, { force: true });
    await Promise.all([mountToken(), mountRoots()]);
    running ??= startGuarded(
      join(inject("istio"), "pilot-agent"),
      ["proxy", "sidecar", "--log_output_level=all:warn"],
      {
        cwd: folder,
        env: {
          ISTIOD_SAN: "istiod.istio-system.svc",
          POD_NAME: "attache",
          POD_NAMESPACE: namespace,
          SERVICE_ACCOUNT: serviceAccount,
          INSTANCE_IP: "127.0.0.1",
          SECRET_TTL: secretTtl,
          TRUST_DOMAIN: "cluster.local",
          OUTPUT_CERTS: outputCerts,
          PROXY_CONFIG: JSON.stringify({
            binaryPath: place("envoy"),
            customConfigFile: place("envoy.json"),
            configPath: place("proxy"),
            discoveryAddress: `127.0.0.1:${istiod.port}`,
            statusPort,
            proxyAdminPort: adminPort,
            terminationDrainDuration: "0s",
            ...proxyConfig,
          }),
          ...env,
        },
      },
    );
    const hasFiles = () =>
      Promise.all([socket, join(outputCerts, "root-cert.pem")].map((file) => access(file))).then(
        () => true,
        () => false,
      );
    await running.until(hasFiles, "its socket and files");
  }

  async function stop(): Promise<void> {
    await running?.[Symbol.asyncDispose]();
    running = undefined;
  }

  const agent: Agent = {
    socket,
    outputCerts,
    mountRoots,
    mountToken,
    start,
    stop,
    output: () => running?.output() ?? "",
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(folder, { recursive: true });
    },
  };
  try {
    await mkdir(outputCerts);
    await write("envoy", envoy);
    await chmod(place("envoy"), 0o755);
    await write("envoy.json", "{}");
    await start();
    return agent;
  } catch (error) {
    await agent[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Waits as Envoy would, and ends with its agent, however that ends: nothing else would end it, or read what it
 * writes.
 */
const envoy = `#!/bin/sh
exec >/dev/null 2>&1
while kill -0 $PPID; do sleep 1; done
`;
