import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inject } from "vitest";
import { type Guarded, startGuarded } from "../guarded.ts";
import { freePorts } from "../ports.ts";

/** One of several agents, at an address of its own; all listen on the same ports. */
export interface Member extends AsyncDisposable {
  readonly host: string;
  readonly get: (path: string) => Promise<unknown>;
}

/** A datacenter as it is in production: three servers that keep each other's state, and a client agent. */
export interface Datacenter extends AsyncDisposable {
  readonly servers: readonly Member[];
  /** An agent that is no server. */
  readonly client: Member;
  /** Of gRPC, in plain text. */
  readonly grpcPort: number;
  readonly leader: () => Promise<Member>;
}

/** On Linux, where the whole of 127.0.0.0/8 is this machine. */
const hosts = ["127.0.0.11", "127.0.0.12", "127.0.0.13"];
const clientHost = "127.0.0.14";

export async function startDatacenter(folder: string): Promise<Datacenter> {
  const [http = 0, grpc = 0, server = 0, serf = 0] = await freePorts(4);
  const encrypt = randomBytes(32).toString("base64");

  async function start(host: string, isServer: boolean): Promise<Member & { readonly program: Guarded }> {
    const file = join(folder, `${host}.json`);
    await writeFile(
      file,
      JSON.stringify({
        node_name: host.replaceAll(".", "-"),
        bind_addr: host,
        client_addr: host,
        data_dir: join(folder, host),
        encrypt,
        retry_join: hosts.map((one) => `${one}:${serf}`),
        retry_interval: "1s",
        ports: { http, https: -1, grpc, grpc_tls: -1, dns: -1, server, serf_lan: serf, serf_wan: -1 },
        performance: { raft_multiplier: 1 },
        ...(isServer && { server: true, bootstrap_expect: hosts.length, connect: { enabled: true } }),
      }),
    );
    const program = startGuarded(inject("consul"), ["agent", "-log-level=warn", `-config-file=${file}`]);
    return {
      host,
      program,
      get: async (path) => (await fetch(`http://${host}:${http}/v1${path}`)).json(),
      [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
    };
  }

  const members = await Promise.all([...hosts.map((host) => start(host, true)), start(clientHost, false)]);
  const end = async () => {
    await Promise.all(members.map((one) => one[Symbol.asyncDispose]()));
  };
  try {
    for (const { program, get } of members) {
      await program.until(
        async () => (await get("/agent/connect/ca/leaf/ready").catch(() => undefined)) !== undefined,
        "its first leaf",
      );
    }
  } catch (error) {
    await end();
    throw error;
  }
  const servers = members.slice(0, hosts.length);
  const [client] = members.slice(hosts.length);
  if (client === undefined) throw new Error("there is no client agent");
  return {
    servers,
    client,
    grpcPort: grpc,
    async leader() {
      const address = String(await client.get("/status/leader"));
      const leader = servers.find(({ host }) => address.startsWith(`${host}:`));
      if (leader === undefined) throw new Error(`the leader "${address}" is none of the servers`);
      return leader;
    },
    [Symbol.asyncDispose]: end,
  };
}
