import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { inject } from "vitest";
import { type Guarded, startGuarded } from "../guarded.ts";
import { freePorts } from "../ports.ts";

/** A real SPIRE server with one real agent, which takes every process of this user for a workload. */
export interface Spire extends AsyncDisposable {
  readonly trustDomain: string;
  /** Of the server, for agents. */
  readonly port: number;
  /** Of the agent's Workload API. */
  readonly socketPath: string;
  /** `unix://…` of it. */
  readonly endpointSocket: string;
  /** Holds everything of it; goes with it. */
  readonly folder: string;
  /** Runs a command of spire-server; resolves with what it prints, rejects if it fails. */
  server(...args: readonly string[]): Promise<string>;
  /** As {@link server}, with the JSON that it prints. */
  json(...args: readonly string[]): Promise<unknown>;
  /** Creates an entry for the processes of this user. */
  createEntry(entry: Entry): Promise<CreatedEntry>;
  /** Deletes all of them. */
  deleteEntries(): Promise<void>;
  /** Resolves when the agent gives a process of this user exactly these identities. */
  untilGiven(ids: readonly string[]): Promise<void>;
  startAgent(): Promise<void>;
  stopAgent(): Promise<void>;
  startServer(): Promise<void>;
  stopServer(): Promise<void>;
}

export interface Entry {
  readonly id: string;
  readonly hint?: string;
  /** The life of its SVIDs, in seconds. */
  readonly ttl?: number;
  readonly federatesWith?: string;
}

export interface CreatedEntry {
  readonly entryId: string;
  /** Changes it, upon which the agent gets a new SVID. */
  touch(): Promise<void>;
  delete(): Promise<void>;
}

export interface SpireOptions {
  readonly trustDomain?: string;
}

export async function startSpire({ trustDomain = "example.org" }: SpireOptions = {}): Promise<Spire> {
  const programs = inject("spire");
  const folder = await mkdtemp(join(tmpdir(), "attache-spire-"));
  const [port = 0] = await freePorts(1);
  const place: Place = { folder, port, trustDomain };
  const serverSocket = join(folder, "server.sock");
  const socketPath = join(folder, "api.sock");
  await Promise.all(["server", "agent"].map((name) => mkdir(join(folder, name))));
  await writeFile(join(folder, "server.conf"), serverConfiguration(place));
  await writeFile(join(folder, "agent.conf"), agentConfiguration(place));
  const agentId = `spiffe://${trustDomain}/node`;
  let running: Partial<Record<"server" | "agent", Guarded>> = {};
  let touches = 0;

  async function server(...args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(join(programs, "spire-server"), [
      ...args,
      "-socketPath",
      serverSocket,
    ]);
    return stdout;
  }

  const json = async (...args: readonly string[]): Promise<unknown> =>
    JSON.parse(await server(...args, "-output", "json"));

  async function run(name: "server" | "agent", args: readonly string[], isReady: () => Promise<boolean>) {
    const config = join(folder, `${name}.conf`);
    const program = startGuarded(join(programs, `spire-${name}`), ["run", "-config", config, ...args]);
    running = { ...running, [name]: program };
    await program.until(isReady, "its being ready");
  }

  async function stop(name: "server" | "agent"): Promise<void> {
    await running[name]?.[Symbol.asyncDispose]();
    running = { ...running, [name]: undefined };
  }

  async function startServer(): Promise<void> {
    await run("server", [], () => succeeds(server("healthcheck")));
  }

  async function startAgent(): Promise<void> {
    // What it was attested by is kept with its keys: a token is good for once.
    const isKnown = await succeeds(access(join(folder, "agent", "agent-data.json")));
    const args = isKnown ? [] : ["-joinToken", await createToken()];
    if (!isKnown) await writeFile(join(folder, "bundle.pem"), await server("bundle", "show"));
    await run("agent", args, () => succeeds(access(socketPath)));
  }

  async function createToken(): Promise<string> {
    const { value } = (await json("token", "generate", "-spiffeID", agentId)) as { value: string };
    return value;
  }

  async function createEntry({ id, hint, ttl, federatesWith }: Entry): Promise<CreatedEntry> {
    const described = (life: number | undefined) => [
      ...["-parentID", agentId, "-spiffeID", id, "-selector", `unix:uid:${process.getuid?.() ?? 0}`],
      ...(hint === undefined ? [] : ["-hint", hint]),
      ...(life === undefined ? [] : ["-x509SVIDTTL", String(life)]),
      ...(federatesWith === undefined ? [] : ["-federatesWith", federatesWith]),
    ];
    const { results } = (await json("entry", "create", ...described(ttl))) as Results;
    const entryId = results[0]?.entry.id;
    assert.ok(entryId, "the entry was created");
    return {
      entryId,
      async touch() {
        touches += 1;
        await server("entry", "update", "-entryID", entryId, ...described((ttl ?? 3600) + touches));
      },
      delete: () => server("entry", "delete", "-entryID", entryId).then(() => undefined),
    };
  }

  /** As SPIRE's own client sees it. */
  async function given(): Promise<string[]> {
    const args = ["api", "fetch", "x509", "-socketPath", socketPath];
    const { stdout } = await promisify(execFile)(join(programs, "spire-agent"), args).catch(() => noneGiven);
    return [...stdout.matchAll(/^SPIFFE ID:\s+(\S+)$/gm)].map(([, id = ""]) => id);
  }

  const spire: Spire = {
    trustDomain,
    port,
    folder,
    socketPath,
    endpointSocket: `unix://${socketPath}`,
    server,
    json,
    createEntry,
    async deleteEntries() {
      const { entries } = (await json("entry", "show")) as Entries;
      const own = entries.filter(({ selectors }) => selectors.some(({ type }) => type === "unix"));
      for (const { id } of own) await server("entry", "delete", "-entryID", id);
    },
    async untilGiven(ids) {
      const wanted = [...ids].sort().join();
      const isSo = async () => (await given()).sort().join() === wanted;
      await running.agent?.until(isSo, `the identities ${wanted}`);
    },
    startAgent,
    stopAgent: () => stop("agent"),
    startServer,
    stopServer: () => stop("server"),
    async [Symbol.asyncDispose]() {
      await stop("agent");
      await stop("server");
      await rm(folder, { recursive: true });
    },
  };
  try {
    await startServer();
    await startAgent();
    return spire;
  } catch (error) {
    await spire[Symbol.asyncDispose]();
    throw error;
  }
}

const noneGiven = { stdout: "" };

/** What `entry create` prints. */
interface Results {
  readonly results: readonly { readonly entry: { readonly id: string } }[];
}

/** What `entry show` prints; the agent's own alias is an entry too. */
interface Entries {
  readonly entries: readonly {
    readonly id: string;
    readonly selectors: readonly { readonly type: string }[];
  }[];
}

interface Place {
  readonly folder: string;
  readonly port: number;
  readonly trustDomain: string;
}

/**
 * Keys on disk: a CA and a node that a restart does not make strangers of. What is asked for counts at once,
 * not in 5 s.
 */
function serverConfiguration({ folder, port, trustDomain }: Place): string {
  return `
    server {
      bind_address = "127.0.0.1"
      bind_port = "${port}"
      socket_path = "${folder}/server.sock"
      trust_domain = "${trustDomain}"
      data_dir = "${folder}/server"
      log_level = "WARN"
      agent_ttl = "1h"
      experimental { cache_reload_interval = "200ms" }
    }
    plugins {
      DataStore "sql" {
        plugin_data { database_type = "sqlite3", connection_string = "${folder}/server/datastore.sqlite3" }
      }
      NodeAttestor "join_token" { plugin_data {} }
      KeyManager "disk" { plugin_data { keys_path = "${folder}/server/keys.json" } }
    }
  `;
}

/** Asks the server at once for what has changed, not every 5 s. */
function agentConfiguration({ folder, port, trustDomain }: Place): string {
  return `
    agent {
      server_address = "127.0.0.1"
      server_port = "${port}"
      socket_path = "${folder}/api.sock"
      trust_bundle_path = "${folder}/bundle.pem"
      trust_domain = "${trustDomain}"
      data_dir = "${folder}/agent"
      log_level = "WARN"
      experimental { sync_interval = "200ms" }
    }
    plugins {
      NodeAttestor "join_token" { plugin_data {} }
      KeyManager "disk" { plugin_data { directory = "${folder}/agent" } }
      WorkloadAttestor "unix" { plugin_data {} }
    }
  `;
}

function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}
