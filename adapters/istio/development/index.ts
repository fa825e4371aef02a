import { join } from "node:path";
import type { Certificate, Clock } from "../../../src/mesh/adapter.ts";
import { expectedRenewal } from "../../../src/mesh/kit/agent-renewal.ts";
import type { Authority } from "../../../src/mesh/development/authority.ts";
import { keepRenewing, type Restartable, restartable } from "../../../src/mesh/development/server.ts";
import type { Secret } from "../proto/sds.pb.ts";
import { startSdsServer, type SdsServer, type SdsTamper } from "./sds-server.ts";
import { outputCerts } from "./output-certs.ts";
import { bundleSecret, workloadSecret } from "./secrets.ts";

/** An Istio agent for development: the identity of one workload, on a Unix socket, from a real authority. */
export interface DevelopmentIstioAgent extends AsyncDisposable {
  /** What connects the adapter to it. */
  readonly settings: { readonly mode: "sds"; readonly socket: string };
  /** What a MeshCertificate says under `istio` to get the one identity. */
  readonly identity: { readonly serviceAccount: string };
  /** The server; absent while it is stopped. */
  readonly server: SdsServer | undefined;
  /** Gives a new leaf soon. Without it: at half of the present one's life, and when the roots change. */
  renew(): void;
  /** Ends the server and all connections; leaves are renewed meanwhile. */
  stop(): Promise<void>;
  /** Brings the server back. */
  resume(): Promise<void>;
}

interface DevelopmentIstioAgentOptions {
  readonly authority: Authority;
  readonly clock: Clock;
  /** Where the socket is made; its whole path may have 103 bytes. */
  readonly directory: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** A folder to which all is written too, as with `OUTPUT_CERTS`. */
  readonly outputCerts?: string;
  readonly tamper?: SdsTamper;
}

export async function startDevelopmentAgent(
  options: DevelopmentIstioAgentOptions,
): Promise<DevelopmentIstioAgent> {
  const { authority, clock, directory, namespace, serviceAccount } = options;
  const socket = join(directory, "agent.sock");
  const uri = `spiffe://${authority.trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
  const secrets = new Map<string, Secret>();
  const peer: { running?: Restartable<SdsServer> } = {};
  let written = Promise.resolve();

  function set(secret: Secret): void {
    secrets.set(secret.name, secret);
    peer.running?.current?.set(secret);
    const folder = options.outputCerts;
    if (folder !== undefined) written = written.then(() => outputCerts(folder, secret));
  }

  function setBundle(): void {
    set(bundleSecret(authority.roots().map(({ certificate }) => certificate)));
  }

  async function issue(): Promise<Certificate> {
    const { key, chain } = await authority.issue({ uri });
    const roots = authority.roots().filter(({ active }) => active);
    set(workloadSecret(key, [...chain, ...roots.map(({ certificate }) => certificate)]));
    return chain[0];
  }

  setBundle();
  let leaf = await issue();
  const renewal = keepRenewing(
    clock,
    () => expectedRenewal(leaf),
    async () => (leaf = await issue()),
  );
  const unsubscribe = authority.subscribe(() => {
    setBundle();
    renewal.renew();
  });
  const running = await restartable(async () => {
    const started = await startSdsServer({ socket, ...(options.tamper && { tamper: options.tamper }) });
    for (const secret of secrets.values()) started.set(secret);
    return started;
  });
  peer.running = running;
  await written;

  return {
    settings: { mode: "sds", socket },
    identity: { serviceAccount },
    get server() {
      return running.current;
    },
    renew: () => renewal.renew(),
    stop: () => running.stop(),
    resume: () => running.resume(),
    async [Symbol.asyncDispose]() {
      unsubscribe();
      await running.stop();
      await renewal[Symbol.asyncDispose]();
      await written;
    },
  };
}
