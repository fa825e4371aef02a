import { describe, expect, it } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { type Resolve, type Server, Servers } from "./servers.ts";

const never = new AbortController().signal;
const port = 8502;

describe("the servers of a datacenter", () => {
  it("are all that the names resolve to, each once, with what their certificates should carry", async () => {
    const servers = setUp(["consul.example", "10.0.0.1", "::1"], {
      "consul.example": ["10.0.0.2", "10.0.0.1", "10.0.0.2"],
    });
    expect(sorted(await servers.inTurn(never))).toEqual([
      "10.0.0.1 consul.example",
      "10.0.0.2 consul.example",
      "::1 undefined",
    ]);
  });

  it("are tried in another order each time, the last one last", async () => {
    const hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
    const servers = setUp(hosts);
    const [last] = await servers.inTurn(never);
    const orders = new Set<string>();
    for (let count = 0; count < 20; count += 1) {
      const turn = hostsOf(await servers.inTurn(never, last));
      expect(turn.toSorted()).toEqual(hosts);
      expect(turn.at(-1)).toBe(last.host);
      orders.add(turn.join());
    }
    expect(orders.size).toBeGreaterThan(2);
  });

  it("have those behind them that Consul names, at the same port, with the name of the first", async () => {
    const servers = setUp(["consul.example"], { "consul.example": ["10.0.0.1"] });
    servers.named = ["10.0.0.1", "10.0.0.9", "not an address"];
    const turn = await servers.inTurn(never);
    expect(turn).toEqual([
      { host: "10.0.0.1", port, name: "consul.example", isStandIn: false },
      { host: "10.0.0.9", port, name: "consul.example", isStandIn: true },
    ]);
    const [configured, standIn] = turn;
    servers.named = [];
    expect(servers.isGone(configured)).toBe(false);
    expect(standIn && servers.isGone(standIn)).toBe(true);
  });

  it("are resolved each time, and those that Consul named help when no name resolves", async () => {
    const known: Record<string, string[]> = { "consul.example": ["10.0.0.1"] };
    const servers = setUp(["consul.example"], known);
    await servers.inTurn(never);
    servers.named = ["10.0.0.1"];
    delete known["consul.example"];
    expect(hostsOf(await servers.inTurn(never))).toEqual(["10.0.0.1"]);
  });

  it("are missed with the name that does not resolve", async () => {
    await expect(setUp(["consul.example"]).inTurn(never)).rejects.toMatchObject({
      code: "ATTACHE_MESH_UNREACHABLE",
      problem: "the name consul.example does not resolve (ENOTFOUND)",
    });
  });

  it("are not waited for by one who aborts", async () => {
    const over = new AbortController();
    const servers = new Servers(
      [{ host: "consul.example", port }],
      manualClock(),
      () => new Promise(() => undefined),
    );
    const turn = servers.inTurn(over.signal);
    over.abort(new Error("over"));
    await expect(turn).rejects.toThrow("over");
  });
});

function setUp(hosts: readonly string[], known: Readonly<Record<string, readonly string[]>> = {}): Servers {
  const resolve: Resolve = (host) => {
    const addresses = known[host];
    if (addresses !== undefined) return Promise.resolve(addresses);
    return Promise.reject(Object.assign(new Error("not found"), { code: "ENOTFOUND" }));
  };
  return new Servers(
    hosts.map((host) => ({ host, port })),
    manualClock(),
    resolve,
  );
}

function hostsOf(servers: readonly Server[]): string[] {
  return servers.map(({ host }) => host);
}

function sorted(servers: readonly Server[]): string[] {
  return servers.map(({ host, name }) => `${host} ${name}`).toSorted();
}
