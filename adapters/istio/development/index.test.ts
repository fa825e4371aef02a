import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Credential } from "../../../src/mesh/adapter.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { adapter } from "../index.ts";
import { startDevelopmentAgent } from "./index.ts";
import { watchOptions } from "../../../test/fixtures/watch-options.ts";

describe("the development mesh of Istio", () => {
  it("renews the leaf at half of its life", async () => {
    await using world = await setUp();
    const first = await world.next();
    expect(first.chain[0].uris).toEqual(["spiffe://cluster.local/ns/emissary/sa/edge"]);
    await world.clock.advance((first.renewalTime?.getTime() ?? 0) - world.clock.now().getTime());
    const second = await world.next();
    expect(second.chain[0].notBefore.getTime()).toBeGreaterThan(first.chain[0].notBefore.getTime());
    expect(second.chain[0].notAfter.getTime() - first.chain[0].notAfter.getTime()).toBe(9_000);
  });
});

async function setUp() {
  const directory = await mkdtemp(join(tmpdir(), "attache-"));
  const clock = manualClock();
  const authority = await createAuthority({ trustDomain: "cluster.local", clock, leafLifetimeMs: 20_000 });
  const agent = await startDevelopmentAgent({
    authority,
    clock,
    directory,
    namespace: "emissary",
    serviceAccount: "edge",
  });
  const mesh = await adapter.connect(adapter.settings.parse(agent.settings), {
    name: "istio",
    clock,
    logger: createLogger("silent"),
    env: {},
    connection: () => undefined,
  });
  const over = new AbortController();
  const credentials = mesh.watch({}, watchOptions(over.signal))[Symbol.asyncIterator]();
  return {
    clock,
    next: async () => (await credentials.next()).value as Credential,
    async [Symbol.asyncDispose]() {
      over.abort(new Error("the test is over"));
      await mesh[Symbol.asyncDispose]();
      await agent[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}
