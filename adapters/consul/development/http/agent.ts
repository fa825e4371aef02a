import type { Clock } from "../../../../src/mesh/adapter.ts";
import type { Authority, AuthorityRoot } from "../../../../src/mesh/development/authority.ts";
import { answer, type Answer, type ApiRequest } from "./api.ts";
import { Indexed } from "./indexed.ts";
import { Leaves } from "./leaves.ts";
import { type ServerTls, startServer } from "./server.ts";

export type { Answer, ApiRequest } from "./api.ts";

/** A Consul agent for development: leaves for any service, on loopback, from a real authority. */
export interface DevelopmentConsulAgent extends AsyncDisposable {
  /** What connects the adapter to it; with TLS, `tls.caFile` is to be added. */
  readonly settings: { readonly mode: "http"; readonly address: string; readonly token?: string };
  /** How many leaves were issued. */
  readonly issued: number;
  /** The requests so far, the oldest first. */
  readonly requests: readonly ApiRequest[];
  /** Gives new leaves, to all services that have one, or to the one named. Without it: as Consul renews. */
  renew(service?: string): Promise<void>;
  /** Accepts this ACL token from now on, and no other; `undefined` turns ACLs off. */
  setToken(token: string | undefined): void;
  /** For tests of clients: what is sent instead of each answer, from now on; `undefined` for the truth. */
  tamper(tamper: Tamper | undefined): void;
  /** Restarts all indexes, below where they were, as after a restored snapshot. */
  rewind(): Promise<void>;
  /** Ends the server and all connections; leaves are renewed meanwhile. */
  stop(): Promise<void>;
  /** Brings the server back, at the same port. */
  resume(): Promise<void>;
}

/** What is sent instead of an answer; `undefined` for nothing, ever. */
export type Tamper = (answer: Answer, request: ApiRequest) => Answer | undefined;

interface DevelopmentConsulAgentOptions {
  readonly authority: Authority;
  readonly clock: Clock;
  /** `dc1` by default. */
  readonly datacenter?: string;
  /** The one ACL token that is accepted; without it ACLs are off. */
  readonly token?: string;
  readonly tls?: ServerTls;
  /** The longest that a leaf waits after a change of roots; half a minute as in Consul, or a tenth of its life. */
  readonly rootChangeJitterMs?: number;
}

/** Where indexes begin: not at 1, which means "any" to clients. */
const firstIndex = 10n;

export async function startDevelopmentAgent(
  options: DevelopmentConsulAgentOptions,
): Promise<DevelopmentConsulAgent> {
  const { authority, clock, datacenter = "dc1", rootChangeJitterMs = 30_000 } = options;
  const acl = { token: options.token };
  const requests: ApiRequest[] = [];
  let tamper: Tamper = (truth) => truth;
  let lastIndex = firstIndex;
  const nextIndex = () => (lastIndex += 1n);
  const roots = new Indexed<readonly AuthorityRoot[]>(authority.roots(), nextIndex());
  const leaves = new Leaves({ authority, clock, datacenter, rootChangeJitterMs, nextIndex });
  const api = { authority, clock, datacenter, leaves, roots, acl };

  const unsubscribe = authority.subscribe(() => {
    const active = activeOf(roots.value);
    roots.set(authority.roots(), nextIndex());
    if (active !== activeOf(roots.value)) void leaves.rootsChanged();
  });

  const start = (port: number) =>
    startServer({
      port,
      clock,
      ...(options.tls && { tls: options.tls }),
      answer: async (request) => {
        requests.push(request);
        const truth = await answer(request, api);
        // Read after the wait: a test may have changed it meanwhile.
        return tamper(truth, request);
      },
    });
  let server: Awaited<ReturnType<typeof start>> | undefined = await start(0);
  const { port } = server;

  const stop = async () => {
    const ending = server;
    server = undefined;
    await ending?.[Symbol.asyncDispose]();
  };

  return {
    settings: {
      mode: "http",
      address: `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
      ...(options.token !== undefined && { token: options.token }),
    },
    requests,
    get issued() {
      return leaves.issued;
    },
    renew: (service) => leaves.renew(service),
    setToken: (token) => {
      acl.token = token;
    },
    tamper: (next) => {
      tamper = next ?? ((truth) => truth);
    },
    async rewind() {
      lastIndex = 1n;
      roots.set(roots.value, nextIndex());
      await leaves.reindex();
    },
    stop,
    async resume() {
      server ??= await start(port);
    },
    async [Symbol.asyncDispose]() {
      unsubscribe();
      await stop();
      await leaves[Symbol.asyncDispose]();
    },
  };
}

function activeOf(roots: readonly AuthorityRoot[]): string | undefined {
  return roots.find(({ active }) => active)?.certificate.fingerprint;
}
