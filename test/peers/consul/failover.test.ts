import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { adapter } from "../../../adapters/consul/index.ts";
import type { ConnectionState } from "../../../src/mesh/adapter.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { watchOptions } from "../../fixtures/watch-options.ts";
import { type Datacenter, startDatacenter } from "./datacenter.ts";
import { watch } from "./watch.ts";

let folder: string;
let datacenter: Datacenter;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-datacenter-"));
  datacenter = await startDatacenter(folder);
});

afterAll(async () => {
  await datacenter[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const at = (host: string) => `http://${host}:${datacenter.grpcPort}`;

describe("a real datacenter of three Consul servers", () => {
  it("is not asked through a client agent, and the check says so", async () => {
    await using edge = await watch({ mode: "grpc", addresses: [at(datacenter.client.host)] }, "edge");
    const failed = (await edge.check()).filter(({ status }) => status === "failed");
    expect(failed).toMatchObject([{ remedy: expect.stringContaining("not client agents") as string }]);
  });

  it("goes on signing without a word when the server that is asked, its leader, is gone", async () => {
    const leader = await datacenter.leader();
    const states: ConnectionState[] = [];
    await using mesh = await adapter.connect(adapter.settings.parse({ addresses: [at(leader.host)] }), {
      name: "consul",
      clock: systemClock,
      logger: createLogger("silent"),
      env: {},
      connection: (state) => states.push(state),
    });
    const signal = AbortSignal.timeout(60_000);
    const leafOf = async (service: string) => {
      for await (const { chain } of mesh.watch({ service }, watchOptions(signal))) return chain[0].uris[0];
      return undefined;
    };
    expect(await leafOf("before")).toMatch(/\/svc\/before$/);
    // A connection that has not lasted is not taken for one.
    await setTimeout(5_000);
    await leader[Symbol.asyncDispose]();
    // The others elect another leader meanwhile.
    expect(await leafOf("after")).toMatch(/\/svc\/after$/);
    expect(states).toEqual([{ connected: true }]);
  });
});
