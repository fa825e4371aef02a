import { describe, expect, it } from "vitest";
import { type Check, systemClock } from "../../../src/mesh/adapter.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import {
  type DevelopmentConsulAgent,
  startDevelopmentAgent,
  type Tamper,
} from "../../../test/fixtures/consul-agent/agent.ts";
import { adapter } from "../index.ts";

const token = "1e7b3c8a-52a6-4f0e-9a3d-6f1c2b4d8e90";

describe("the checks of a Consul agent", () => {
  it("are all well when it is, with an ACL token", async () => {
    await using agent = await start({ token });
    expect(await check(agent)).toEqual([
      { name: "agent", status: "ok", message: `${agent.settings.address} answers` },
      { name: "transport", status: "ok", message: "plain HTTP that stays on this machine" },
      { name: "version", status: "ok", message: "Consul 1.16.2" },
      { name: "clock", status: "ok", message: "agrees with that of the agent" },
      { name: "leader", status: "ok", message: "the servers have one" },
      { name: "CA", status: "ok", message: matching(/^trust domain 11\.consul, /) },
      { name: "ACL token", status: "ok", message: "accepted" },
    ]);
  });

  it("are all well without a token where none is asked for", async () => {
    await using agent = await start();
    expect(await check(agent, "ACL token")).toMatchObject({
      status: "ok",
      message: "this Consul asks for none",
    });
  });

  it("warn of a missing token", async () => {
    await using agent = await start();
    agent.setToken(token);
    expect(await check(agent, "ACL token")).toMatchObject({
      status: "warning",
      remedy: matching(/tokenFile/),
    });
  });

  it("report a token that Consul does not know, without showing it", async () => {
    await using agent = await start({ token });
    agent.setToken("another");
    const checks = await check(agent);
    expect(checks.at(-1)).toMatchObject({
      name: "ACL token",
      status: "failed",
      message: matching(/does not know the ACL token/),
    });
    expect(JSON.stringify(checks)).not.toContain(token);
  });

  it("warn of keys that cross a network in plain text", async () => {
    await using agent = await start();
    // All addresses of this machine: to the system itself, but not to the adapter.
    const settings = { ...agent.settings, address: agent.settings.address.replace("127.0.0.1", "0.0.0.0") };
    expect(await check({ ...agent, settings }, "transport")).toMatchObject({
      status: "warning",
      remedy: matching(/https/),
    });
  });

  it.each([
    ["ahead of", -60_000],
    ["behind", 60_000],
  ])("warn of a clock that is %s the agent's", async (how, ms) => {
    const clock = manualClock(new Date(Date.now() + ms));
    await using agent = await start({ clock });
    expect(await check(agent, "clock")).toMatchObject({
      status: "warning",
      message: matching(new RegExp(`is [56][0-9] s ${how} the agent`)),
    });
  });

  it("warn of a version that attaché is not made for, and say nothing where a token may not see it", async () => {
    await using agent = await start();
    const path = "/v1/agent/self";
    agent.tamper(on(path, (answer) => ({ ...answer, body: '{"Config":{"Version":"1.13.9"}}' })));
    expect(await check(agent, "version")).toMatchObject({
      status: "warning",
      message: "Consul 1.13.9, older than what attaché is made for, 1.14 or later",
    });
    agent.tamper(on(path, () => ({ status: 403, headers: {}, body: "Permission denied" })));
    expect(await check(agent, "version")).toBeUndefined();
  });

  it("report missing leaders", async () => {
    await using agent = await start();
    agent.tamper(on("/v1/status/leader", (answer) => ({ ...answer, body: '""' })));
    expect(await check(agent, "leader")).toMatchObject({
      status: "failed",
      remedy: matching(/raft list-peers/),
    });
    agent.tamper(on("/v1/status/leader", () => ({ status: 500, headers: {}, body: "No cluster leader" })));
    expect(await check(agent, "leader")).toMatchObject({
      status: "failed",
      message: matching(/No cluster leader/),
    });
  });

  it("report a CA that is not ready, or that is no CA", async () => {
    await using agent = await start();
    const path = "/v1/agent/connect/ca/roots";
    agent.tamper(on(path, () => ({ status: 500, headers: {}, body: "Connect must be enabled" })));
    expect(await check(agent, "CA")).toMatchObject({ status: "failed", remedy: matching(/enabled = true/) });
    agent.tamper(on(path, (answer) => ({ ...answer, body: '{"TrustDomain":"11.consul","Roots":[]}' })));
    expect(await check(agent, "CA")).toMatchObject({
      status: "failed",
      message: "Consul's CA lists no root",
    });
    agent.tamper(on(path, (answer) => ({ ...answer, body: "<html>" })));
    expect(await check(agent, "CA")).toMatchObject({ status: "failed", message: matching(/not JSON/) });
  });

  it("report an agent that is away", async () => {
    await using agent = await start();
    await agent.stop();
    expect(await check(agent)).toMatchObject([
      { name: "agent", status: "failed", message: matching(/ECONNREFUSED/), remedy: matching(/HTTP API/) },
    ]);
  });
});

async function start(options: { readonly token?: string; readonly clock?: typeof systemClock } = {}) {
  const { clock = systemClock } = options;
  const authority = await createAuthority({ trustDomain: "11.consul", clock });
  return startDevelopmentAgent({ ...options, authority, clock });
}

type Reachable = Pick<DevelopmentConsulAgent, "settings">;

async function check(agent: Reachable): Promise<Check[]>;
async function check(agent: Reachable, name: string): Promise<unknown>;
async function check({ settings }: Reachable, name?: string): Promise<unknown> {
  await using mesh = await adapter.connect(adapter.settings.parse(settings), {
    name: "consul",
    clock: systemClock,
    logger: createLogger("silent"),
    env: {},
    connection: () => undefined,
  });
  const checks = await mesh.check();
  return name === undefined ? checks : checks.find((one) => one.name === name);
}

function on(path: string, tamper: Tamper): Tamper {
  return (answer, request) => (request.path === path ? tamper(answer, request) : answer);
}

function matching(pattern: RegExp): string {
  return expect.stringMatching(pattern) as string;
}
