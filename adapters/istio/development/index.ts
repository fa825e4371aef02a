import { join } from "node:path";
import { type Certificate, type Clock, sleepUntil } from "../../../src/mesh/adapter.ts";
import { expectedRenewal } from "../../../src/mesh/kit/agent-renewal.ts";
import type { Authority } from "../../../src/mesh/development/authority.ts";
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
  const disposed = new AbortController();
  let server: SdsServer | undefined;
  let early = new AbortController();
  let written = Promise.resolve();

  function set(secret: Secret): void {
    secrets.set(secret.name, secret);
    server?.set(secret);
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

  async function keepIssuing(first: Certificate): Promise<void> {
    let leaf = first;
    for (;;) {
      const signal = AbortSignal.any([disposed.signal, early.signal]);
      await sleepUntil(expectedRenewal(leaf), clock, signal).catch(() => undefined);
      if (disposed.signal.aborted) return;
      // Made before the leaf is: a client that asks meanwhile gets one that is issued after its request.
      early = new AbortController();
      leaf = await issue();
    }
  }

  async function resume(): Promise<void> {
    server ??= await startSdsServer({ socket, ...(options.tamper && { tamper: options.tamper }) });
    for (const secret of secrets.values()) server.set(secret);
  }

  async function stop(): Promise<void> {
    await server?.[Symbol.asyncDispose]();
    server = undefined;
  }

  const renew = () => early.abort();
  const unsubscribe = authority.subscribe(() => {
    setBundle();
    renew();
  });
  setBundle();
  const issuing = keepIssuing(await issue());
  await Promise.all([resume(), written]);

  return {
    settings: { mode: "sds", socket },
    identity: { serviceAccount },
    get server() {
      return server;
    },
    renew,
    stop,
    resume,
    async [Symbol.asyncDispose]() {
      unsubscribe();
      disposed.abort();
      await stop();
      await issuing;
      await written;
    },
  };
}
