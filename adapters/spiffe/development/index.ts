import { join } from "node:path";
import { type Certificate, type Clock, sleepUntil } from "../../../src/mesh/adapter.ts";
import { expectedRenewal } from "../../../src/mesh/kit/agent-renewal.ts";
import type { Authority } from "../../../src/mesh/development/authority.ts";
import type { X509SVID } from "../proto/workload.pb.ts";
import { startWorkloadServer, type WorkloadTamper, type WorkloadServer } from "./workload-server.ts";

/** A SPIRE agent for development: its entries' identities, over the Workload API, from a real authority. */
export interface DevelopmentSpireAgent extends AsyncDisposable {
  /** What connects the adapter to it. */
  readonly settings: { readonly endpointSocket: string };
  /** What a MeshCertificate says under `spiffe` to get the first entry's identity. */
  readonly identity: { readonly id: string };
  /** The server; absent while it is stopped. */
  readonly server: WorkloadServer | undefined;
  /** The identities from now on, each with a new leaf; those that were there before keep theirs. */
  setEntries(entries: readonly Entry[]): Promise<void>;
  /** The bundles of other trust domains from now on, by the domain's ID. */
  setFederated(bundles: Readonly<Record<string, Buffer>>): void;
  /** Gives new leaves soon. Without it: at half of the present ones' life, and when the roots change. */
  renew(): void;
  /** Ends the server and all connections; leaves are renewed meanwhile. */
  stop(): Promise<void>;
  /** Brings the server back. */
  resume(): Promise<void>;
}

/** What SPIRE calls a registration entry: that attaché is entitled to an identity. */
export interface Entry {
  readonly id: string;
  readonly hint?: string;
}

interface DevelopmentSpireAgentOptions {
  readonly authority: Authority;
  readonly clock: Clock;
  /** Where the socket is made, whose whole path may have 103 bytes; without one, it listens on a port of 127.0.0.1. */
  readonly directory?: string;
  readonly entries: readonly [Entry, ...Entry[]];
  readonly tamper?: WorkloadTamper;
}

export async function startDevelopmentAgent(
  options: DevelopmentSpireAgentOptions,
): Promise<DevelopmentSpireAgent> {
  const { authority, clock, directory } = options;
  const socketPath = directory && join(directory, "api.sock");
  let endpointSocket = "";
  let entries: readonly Entry[] = options.entries;
  let issued: ReadonlyMap<string, IssuedSvid> = new Map();
  let federatedBundles: Readonly<Record<string, Buffer>> = {};
  let server: WorkloadServer | undefined;
  let issuing = Promise.resolve();
  let early = new AbortController();
  const disposed = new AbortController();

  /** One after the other: an earlier one that ends later would bring old leaves back. */
  function issue(again: boolean): Promise<void> {
    issuing = issuing.then(() => issueNow(again));
    return issuing;
  }

  async function issueNow(again: boolean): Promise<void> {
    const named = entries.map(async (entry): Promise<[string, IssuedSvid]> => {
      const name = JSON.stringify(entry);
      const present = again ? undefined : issued.get(name);
      return [name, present ?? (await issueFor(entry))];
    });
    issued = new Map(await Promise.all(named));
    push();
  }

  async function issueFor({ id, hint = "" }: Entry): Promise<IssuedSvid> {
    const { key, chain } = await authority.issue({ uri: id });
    const x509SvidKey = key.export({ type: "pkcs8", format: "der" });
    return { leaf: chain[0], spiffeId: id, hint, x509SvidKey, x509Svid: derOf(chain) };
  }

  function push(): void {
    const bundle = derOf(authority.roots().map(({ certificate }) => certificate));
    const svids = [...issued.values()].map(({ leaf: _, ...svid }): X509SVID => ({ ...svid, bundle }));
    server?.set({ svids, federatedBundles });
  }

  async function keepIssuing(): Promise<void> {
    for (;;) {
      const signal = AbortSignal.any([disposed.signal, early.signal]);
      const [first = never] = [...issued.values()].map(({ leaf }) => expectedRenewal(leaf)).sort(byTime);
      await sleepUntil(first, clock, signal).catch(() => undefined);
      if (disposed.signal.aborted) return;
      // Made before the leaves are: a client that asks meanwhile gets some that are issued after its request.
      early = new AbortController();
      await issue(true);
    }
  }

  async function resume(): Promise<void> {
    const port = Number(/\d+$/.exec(endpointSocket)?.[0] ?? 0);
    server ??= await startWorkloadServer({
      socketPath,
      port,
      ...(options.tamper && { tamper: options.tamper }),
    });
    endpointSocket = server.url;
    push();
  }

  async function stop(): Promise<void> {
    await server?.[Symbol.asyncDispose]();
    server = undefined;
  }

  const renew = () => early.abort();
  const unsubscribe = authority.subscribe(() => {
    push();
    renew();
  });
  await issue(true);
  const renewing = keepIssuing();
  await resume();

  return {
    settings: { endpointSocket },
    identity: { id: options.entries[0].id },
    get server() {
      return server;
    },
    async setEntries(next) {
      entries = next;
      await issue(false);
    },
    setFederated(bundles) {
      federatedBundles = bundles;
      push();
    },
    renew,
    stop,
    resume,
    async [Symbol.asyncDispose]() {
      unsubscribe();
      disposed.abort();
      await stop();
      await renewing;
    },
  };
}

const never = new Date(8.64e15);

interface IssuedSvid extends Omit<X509SVID, "bundle"> {
  readonly leaf: Certificate;
}

function derOf(certificates: readonly Certificate[]): Buffer {
  return Buffer.concat(certificates.map(({ der }) => der));
}

function byTime(one: Date, other: Date): number {
  return one.getTime() - other.getTime();
}
