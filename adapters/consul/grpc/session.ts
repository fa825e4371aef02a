import type { Client, MethodDefinition } from "@grpc/grpc-js";
import { type Clock, MeshError, unlessAborted } from "../../../src/mesh/adapter.ts";
import { type CallOptions, callStream, callUnary } from "../../../src/mesh/kit/grpc/calls.ts";
import { type ListedRoots, readRoots } from "../../../src/credentials/certificates.ts";
import { aclService } from "../proto/acl.pb.ts";
import { meshErrorOf, readingInSlices } from "../../../src/mesh/kit/errors.ts";
import { forEach, retrying } from "../../../src/mesh/kit/retry.ts";
import { noRoots } from "../meanings.ts";
import { connectCAService, type WatchRootsResponse } from "../proto/connectca.pb.ts";
import { serverDiscoveryService, type Server as NamedServer } from "../proto/serverdiscovery.pb.ts";
import type { AclToken, Login } from "../token.ts";
import { addressText } from "../../../src/mesh/kit/address.ts";
import { blamesServer, consulError, loginError } from "./errors.ts";
import type { Server } from "./servers.ts";

/** What Consul's CA vouches for. */
export interface Roots {
  readonly trustDomain: string;
  /** Every root that Consul lists, active or not; one at least that can be read. */
  readonly listed: ListedRoots;
  /** Whether it is Consul's own CA, and not Vault or another one behind it. */
  readonly isOfConsul: boolean;
}

interface SessionOptions {
  readonly server: Server;
  readonly client: Client;
  readonly acl: AclToken;
  readonly clock: Clock;
  /** Whether there are others to go to, should this server fail its callers. */
  readonly isReplaceable: boolean;
  readonly signal: AbortSignal;
}

interface Followed {
  readonly roots: (roots: Roots) => void;
  /** `undefined` where the servers are not needed. */
  readonly servers?: (servers: readonly NamedServer[]) => void;
}

/** The server may have to ask the leader, or the reviewer of a login. */
const answerMs = 30_000;

/**
 * The first answer of a stream a server gives by itself; until then it is not known whether it is there at
 * all.
 */
const firstAnswerMs = 10_000;

/** A datacenter has three to seven servers; attaché ignores more than this. */
const serversMax = 64;

/** The pause after which a less important stream starts again. */
const againMs = 60_000;

/** A server that only fails for so long is replaced if there are others. A normal election is shorter. */
const graceMs = 10_000;

/**
 * One connection to one server, and all that is asked over it. Whatever it throws is a MeshError, or a
 * signal's reason.
 */
export class Session implements Disposable {
  /** As an operator would write it. */
  readonly name: string;
  readonly #options: SessionOptions;
  readonly #over = new AbortController();
  /** Aborts when nothing can be asked any more, with the reason. */
  readonly signal: AbortSignal;
  #failsSinceMs: number | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.name = addressText(options.server);
    this.signal = AbortSignal.any([options.signal, this.#over.signal]);
  }

  /** Ends only by throwing, when the server is of no use any longer. */
  async follow({ roots, servers }: Followed): Promise<never> {
    try {
      const following = [this.#followRoots(roots), ...(servers ? [this.#followServers(servers)] : [])];
      return await unlessAborted(Promise.race(following), this.signal);
    } catch (error) {
      this.end(error as Error);
      throw error;
    }
  }

  /** PEM: the leaf and its intermediates. */
  async sign(csr: string, token: string | undefined, signal: AbortSignal): Promise<string> {
    const { certPem } = await this.#ask(connectCAService.sign, { csr }, token, signal, (error) =>
      consulError(error, this.name, [csr, token ?? ""]),
    );
    return certPem;
  }

  /** Resolves with the SecretID of the token that the login gives. */
  async logIn({ authMethod, bearerToken, namespace, partition }: Login): Promise<string> {
    const request = { authMethod, bearerToken, namespace, partition, meta: {}, datacenter: "" };
    const { token } = await this.#ask(aclService.login, request, undefined, this.signal, (error) =>
      loginError(error, this.name, [bearerToken]),
    );
    if (token !== null && token.secretId !== "") return token.secretId;
    throw new MeshError("ATTACHE_MESH_MALFORMED", `${this.name} took the login and gave no token`);
  }

  async logOut(token: string): Promise<void> {
    await this.#ask(aclService.logout, { token, datacenter: "" }, token, this.signal, (error) =>
      consulError(error, this.name, [token]),
    );
  }

  /** The ACL token of the mesh, by a login over this connection if need be. */
  token(signal: AbortSignal): Promise<string | undefined> {
    return this.#options.acl.read((login) => this.logIn(login), signal);
  }

  /** Lets go of the server; the first reason stays. */
  end(reason: Error): void {
    this.#over.abort(reason);
  }

  [Symbol.dispose](): void {
    this.end(new MeshError("ATTACHE_MESH_UNREACHABLE", `the connection to ${this.name} was closed`));
    this.#options.client.close();
  }

  async #followRoots(received: (roots: Roots) => void): Promise<never> {
    let token = await this.token(this.signal);
    return retrying(
      () => {
        const { watchRoots } = connectCAService;
        const answers = callStream(this.#options.client, watchRoots, {}, this.#streaming(token));
        return forEach(answers, async (answer) => {
          const roots = await rootsOf(answer);
          this.signal.throwIfAborted();
          received(roots);
        });
      },
      async (error) => {
        const known = consulError(error, this.name, [token ?? ""]);
        if (!(await this.#options.acl.replaces(token, known))) throw known;
        token = await this.token(this.signal);
      },
    );
  }

  #followServers(received: (servers: readonly NamedServer[]) => void): Promise<never> {
    const { client, clock } = this.#options;
    return retrying(
      async () => {
        const options = this.#streaming(await this.token(this.signal));
        const answers = callStream(client, serverDiscoveryService.watchServers, { wan: false }, options);
        return forEach(answers, ({ servers }) => received(servers.slice(0, serversMax)));
      },
      // Roots and signatures tell whether the server is of use; this stream only makes it replaceable.
      () => clock.sleep(againMs, this.signal),
    );
  }

  #streaming(token: string | undefined): CallOptions {
    const { clock } = this.#options;
    const metadata = { "x-consul-token": token };
    return { metadata, peer: this.name, withinMs: firstAnswerMs, clock, signal: this.signal };
  }

  async #ask<Q, A>(
    method: MethodDefinition<Q, A>,
    request: Q,
    token: string | undefined,
    caller: AbortSignal,
    explain: (error: unknown) => unknown,
  ): Promise<A> {
    const { client, clock, isReplaceable } = this.#options;
    const signal = AbortSignal.any([caller, this.signal]);
    try {
      const answer = await callUnary(client, method, request, {
        metadata: { "x-consul-token": token },
        peer: this.name,
        withinMs: answerMs,
        clock,
        signal,
      });
      this.#failsSinceMs = undefined;
      return answer;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      const explained = explain(error);
      if (blamesServer(error)) {
        this.#failsSinceMs ??= clock.elapsedMs();
        const failsForMs = clock.elapsedMs() - this.#failsSinceMs;
        if (isReplaceable && failsForMs >= graceMs) this.end(explained as Error);
      }
      throw explained;
    }
  }
}

/** @throws MeshError if it lists no root, or something else. */
async function rootsOf({ trustDomain, roots }: WatchRootsResponse): Promise<Roots> {
  const listed = await readingInSlices("Consul's list of roots", () =>
    readRoots(...roots.map(({ rootCert }) => rootCert)),
  );
  if (listed.bundle.length === 0) throw meshErrorOf(noRoots);
  // As Consul names the roots of its CA providers (agent/consul/leader_connect_ca.go, newCARoot).
  return {
    trustDomain,
    listed,
    isOfConsul: roots.some(({ active, name }) => active && name.startsWith("Consul CA ")),
  };
}
