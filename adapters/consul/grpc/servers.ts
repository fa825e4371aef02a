import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { type Clock, MeshError, unlessAborted } from "../../../src/mesh/adapter.ts";
import { codeOf } from "../../../src/mesh/kit/errors.ts";
import { type Address, addressText } from "../../../src/mesh/kit/address.ts";

/** One Consul server, at one IP address or Unix socket. */
export interface Server extends Address {
  /** The name that it was found by, if it was: what its certificate should carry. */
  readonly name: string | undefined;
  /** Whether only Consul names it, and no address of the settings. */
  readonly isStandIn: boolean;
}

export type Resolve = (host: string) => Promise<readonly string[]>;

/**
 * The servers of one datacenter: those behind the configured addresses, and those that Consul itself names, which stand
 * in when none of the former can be reached.
 */
export class Servers {
  readonly #addresses: readonly Address[];
  readonly #clock: Clock;
  readonly #resolve: Resolve;
  #named: readonly string[] = [];

  constructor(addresses: readonly Address[], clock: Clock, resolve: Resolve = resolveByDns) {
    this.#addresses = addresses;
    this.#clock = clock;
    this.#resolve = resolve;
  }

  /** The IP addresses that Consul names. */
  set named(hosts: readonly string[]) {
    this.#named = hosts.filter((host) => isIP(host) !== 0);
  }

  /** Whether Consul has taken a server out of its list, in which alone it was found. */
  isGone({ host, isStandIn }: Server): boolean {
    return isStandIn && !this.#named.includes(host);
  }

  /**
   * All servers, each once, in the order in which they are to be tried: at random, so that several attachés spread, but
   * `last` behind the others.
   * @throws MeshError if there is none, because no name resolves.
   */
  async inTurn(signal: AbortSignal, last?: Server): Promise<readonly [Server, ...Server[]]> {
    const answers = await Promise.allSettled(
      this.#addresses.map((address) => this.#serversAt(address, signal)),
    );
    signal.throwIfAborted();
    const configured = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    const named = this.#standIns();
    const servers = unique([...this.#shuffled(configured), ...this.#shuffled(named)]);
    const isLast = (server: Server) => last !== undefined && addressText(server) === addressText(last);
    const [first, ...others] = [...servers.filter((one) => !isLast(one)), ...servers.filter(isLast)];
    if (first !== undefined) return [first, ...others];
    throw answers.find((answer) => answer.status === "rejected")?.reason;
  }

  /** Those that Consul names, at the port and under the name of the first configured one. */
  #standIns(): Server[] {
    const [first] = this.#addresses;
    // A socket does not tell the port of the other servers.
    if (first === undefined || first.socketPath !== undefined) return [];
    const name = isIP(first.host) === 0 ? first.host : undefined;
    return this.#named.map((host) => ({ host, port: first.port, name, isStandIn: true }));
  }

  async #serversAt(address: Address, signal: AbortSignal): Promise<Server[]> {
    const { host, port, socketPath } = address;
    if (socketPath !== undefined || isIP(host) !== 0)
      return [{ ...address, name: undefined, isStandIn: false }];
    try {
      const hosts = await unlessAborted(this.#resolve(host), signal);
      return hosts.map((one) => ({ host: one, port, name: host, isStandIn: false }));
    } catch (cause) {
      const code = codeOf(cause) ?? "unknown error";
      throw new MeshError("ATTACHE_MESH_UNREACHABLE", `the name ${host} does not resolve (${code})`, {
        remedy: "Check the host in `addresses` or CONSUL_GRPC_ADDR, and the DNS.",
        cause,
      });
    }
  }

  #shuffled<T>(values: readonly T[]): T[] {
    return values
      .map((value) => ({ value, rank: this.#clock.random() }))
      .sort((one, other) => one.rank - other.rank)
      .map(({ value }) => value);
  }
}

function unique(servers: readonly Server[]): Server[] {
  const firsts = new Map<string, Server>();
  for (const server of servers) {
    const text = addressText(server);
    if (!firsts.has(text)) firsts.set(text, server);
  }
  return [...firsts.values()];
}

async function resolveByDns(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => address);
}
