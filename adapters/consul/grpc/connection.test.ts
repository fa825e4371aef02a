import { status } from "@grpc/grpc-js";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Authority, createAuthority } from "../../../src/mesh/development/authority.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { connectMesh, isOtherThan } from "../../../test/fixtures/connected-mesh.ts";
import { type DevelopmentServer, Refusal, startDevelopmentServer } from "../development/server.ts";
import { adapter } from "../index.ts";

const noLeader = new Refusal(status.UNKNOWN, "No cluster leader");

describe("a connection to one of several servers", { tags: ["realtime"] }, () => {
  it("stays with its server, also when another one comes back", async () => {
    await using world = await setUp(2);
    const used = await world.used();
    const [other] = world.servers.filter((server) => server !== used);
    await other?.stop();
    await other?.resume();
    await world.rotate();
    expect(other?.calls).toEqual([]);
    expect(world.states).toEqual([{ connected: true }]);
  });

  it("goes to another one at once when its server ends, without a word", async () => {
    await using world = await setUp(3);
    const used = await world.used();
    await world.clock.advance(5_000);
    await used.stop();
    await world.pass(() => world.servers.some((server) => server !== used && server.calls.length > 0), 1);
    await world.rotate();
    expect(world.states).toEqual([{ connected: true }]);
  });

  it("passes over servers that are away, that hang and that speak something else", async () => {
    await using world = await setUp(4, (servers) => {
      servers[1]?.refuse(() => "never");
      servers[2]?.refuse(() => new Refusal(status.UNIMPLEMENTED, "unknown service"));
      return servers[3]?.stop();
    });
    await world.pass(() => world.watched.seen.length > 0, 250);
    expect(world.states.at(-1)).toEqual({ connected: true });
  });

  it("leaves a server that knows no leader", async () => {
    await using world = await setUp(2);
    const used = await world.used();
    await world.clock.advance(5_000);
    used.refuse(({ method }) => (method === "Sign" ? noLeader : undefined));
    await world.rotate();
    expect(world.states).toEqual([{ connected: true }]);
  });

  it("says why none is of use, and goes on trying", async () => {
    await using world = await setUp(2, async (servers) => {
      for (const server of servers) await server.stop();
    });
    await world.pass(() => world.states.length >= 2);
    expect(world.states[0]).toMatchObject({
      connected: false,
      error: {
        code: "ATTACHE_MESH_UNREACHABLE",
        message: expect.stringMatching(/127\.0\.0\.1:\d+ cannot be reached \(ECONNREFUSED\)/) as string,
      },
    });
    await world.servers[1]?.resume();
    await world.watched.next();
  });
});

describe("a connection to the only server", { tags: ["realtime"] }, () => {
  it("stays while there is no leader, and each caller that waits for a signature gets the error", async () => {
    await using world = await setUp(1);
    const used = await world.used();
    await world.clock.advance(5_000);
    used.refuse(({ method }) => (method === "Sign" ? noLeader : undefined));
    const another = world.watch({ service: "another" });
    expect(await another.end(250)).toMatchObject({
      code: "ATTACHE_MESH_UNAVAILABLE",
      remedy: expect.stringContaining("raft list-peers") as string,
    });
    expect(used.connections).toBe(1);
    expect(world.states).toEqual([{ connected: true }]);
  });

  it("is given up when its login is refused, and made again after a pause", async () => {
    const bearerTokenFile = join(await mkdtemp(join(tmpdir(), "bearer-")), "token");
    onTestFinished(() => rm(dirname(bearerTokenFile), { recursive: true }));
    await writeFile(bearerTokenFile, "bearer");
    const enableAcls = ([server]: readonly DevelopmentServer[]) => {
      if (server !== undefined) server.acl.tokens = {};
      return undefined;
    };
    await using world = await setUp(1, enableAcls, { login: { authMethod: "absent", bearerTokenFile } });
    await world.pass(() => world.states.length > 0);
    expect(world.states).toMatchObject([
      {
        connected: false,
        error: {
          code: "ATTACHE_MESH_UNAUTHENTICATED",
          problem: expect.stringContaining("auth method") as string,
        },
      },
    ]);
    expect(world.servers[0]?.calls.filter(({ method }) => method === "Login").length).toBeLessThan(3);
  });

  it("is made again by itself, also when the server ends the stream again and again", async () => {
    await using world = await setUp(1);
    const used = await world.used();
    used.endStreams();
    await world.pass(() => world.states.length >= 2);
    expect(world.states[1]).toMatchObject({
      connected: false,
      error: { code: "ATTACHE_MESH_UNAVAILABLE" },
    });
    await world.pass(() => world.states.length >= 3);
    await world.rotate();
  });
});

describe.runIf(process.platform === "linux")("servers that Consul names", () => {
  it("stand in for the configured one, and are left when they are named no longer", async () => {
    await using world = await setUp(1);
    const [configured] = world.servers;
    const { port = 0 } = configured ?? {};
    // The whole of 127.0.0.0/8 is this machine, on Linux.
    await using standIn = await startDevelopmentServer({
      authority: world.authority,
      host: "127.0.0.2",
      port,
    });
    const named = ["127.0.0.1", "127.0.0.2"].map((address) => ({ address, version: "1.16.2" }));
    configured?.name(named);
    standIn.name(named);
    await world.used();
    await world.clock.advance(5_000);
    await configured?.stop();
    await world.pass(() => standIn.calls.length > 0);
    await world.rotate();

    await configured?.resume();
    standIn.name(named.slice(0, 1));
    await world.pass(() => configured?.calls.at(-1)?.method === "WatchServers");
    await world.rotate();
  });

  it.each([
    ["where the settings say not to", { serverWatch: false }, []],
    ["beyond the first 64", {}, Array<string>(64).fill("127.0.0.1")],
  ])("are not asked %s", async (_where, settings, before) => {
    await using world = await setUp(1, undefined, settings);
    const [configured] = world.servers;
    const { port = 0 } = configured ?? {};
    await using standIn = await startDevelopmentServer({
      authority: world.authority,
      host: "127.0.0.2",
      port,
    });
    configured?.name([...before, "127.0.0.2"].map((address) => ({ address, version: "1.16.2" })));
    await world.used();
    await configured?.stop();
    // Whom Consul has named is tried from the second round on.
    await world.pass(() => world.states.filter(({ connected }) => !connected).length > 2);
    expect(standIn.calls).toEqual([]);
  });
});

/** Servers of one datacenter, and one identity that is watched. */
async function setUp(
  count: number,
  prepare?: (servers: readonly DevelopmentServer[]) => Promise<void> | undefined,
  settings = {},
) {
  const clock = manualClock();
  const authority: Authority = await createAuthority({
    trustDomain: "11.consul",
    clock,
    leafLifetimeMs: 20_000,
  });
  const servers = await Promise.all(
    Array.from({ length: count }, () => startDevelopmentServer({ authority })),
  );
  await prepare?.(servers);
  const addresses = servers.flatMap((server) => server.settings.addresses);
  const connected = await connectMesh(adapter, { addresses, ...settings }, { clock });
  const watched = connected.watch({ service: "web" });
  return {
    ...connected,
    authority,
    servers,
    watched,
    /** The server that is used, once one is. */
    async used(): Promise<DevelopmentServer> {
      await watched.next();
      const [used] = servers.filter(({ calls }) => calls.some(({ method }) => method === "Sign"));
      if (used === undefined) throw new Error("none is used");
      return used;
    },
    /** Makes a new root sign, and waits for the leaf. */
    async rotate(): Promise<void> {
      const before = watched.seen.at(-1);
      await authority.rotateRoot();
      if (before !== undefined) await watched.until(isOtherThan(before));
    },
    async [Symbol.asyncDispose]() {
      await connected[Symbol.asyncDispose]();
      for (const server of servers) await server[Symbol.asyncDispose]();
    },
  };
}
