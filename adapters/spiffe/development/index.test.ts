import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Certificate } from "../../../src/mesh/adapter.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { spiffeWorkloadAPI, type X509SVIDResponse } from "../proto/workload.pb.ts";
import { startDevelopmentAgent } from "./index.ts";

const { path, requestSerialize, responseDeserialize } = spiffeWorkloadAPI.fetchX509SVID;

describe("the development mesh of SPIFFE, as the SPIRE agent,", () => {
  it("renews at half of a leaf's life, and pushes all identities then", async () => {
    await using world = await setUp();
    const { next } = world.call();
    const first = await next();
    expect(first.svids.map(({ spiffeId, hint }) => [spiffeId, hint])).toEqual([
      ["spiffe://example.org/edge", ""],
      ["spiffe://example.org/internal", "inside"],
    ]);
    await world.clock.advance(9_000);
    const second = await next();
    expect(second.svids).toHaveLength(2);
    const lifeMs = leafOf(second).notAfter.getTime() - leafOf(first).notAfter.getTime();
    expect(lifeMs).toBe(9_000);
  });

  it("keeps the leaves of entries that stay when others come", async () => {
    await using world = await setUp();
    const { next } = world.call();
    const first = await next();
    await world.agent.setEntries([{ id: "spiffe://example.org/edge" }, { id: "spiffe://example.org/new" }]);
    const second = await next();
    expect(second.svids[0]).toEqual(first.svids[0]);
    expect(second.svids[1]?.spiffeId).toBe("spiffe://example.org/new");
  });

  it("ends a call when no entry is left, and refuses the next", async () => {
    await using world = await setUp();
    const { call, next } = world.call();
    await next();
    const ended = once(call, "error", {});
    await world.agent.setEntries([]);
    for (const [error] of [await ended, await once(world.call().call, "error", {})] as [ServiceError][]) {
      expect(error).toMatchObject({ code: status.PERMISSION_DENIED, details: "no identity issued" });
    }
  });

  it("refuses a call without the security header", async () => {
    await using world = await setUp();
    const [error] = (await once(world.call(new Metadata()).call, "error", {})) as [ServiceError];
    expect(error).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: "security header missing from request",
    });
  });

  it("lets everybody connect", async () => {
    await using world = await setUp();
    const { mode } = await stat(world.socketPath);
    expect(mode & 0o666).toBe(0o666);
  });
});

const header = new Metadata();
header.set("workload.spiffe.io", "true");

async function setUp() {
  const directory = await mkdtemp(join(tmpdir(), "attache-"));
  const clock = manualClock();
  const authority = await createAuthority({ trustDomain: "example.org", clock, leafLifetimeMs: 20_000 });
  const agent = await startDevelopmentAgent({
    authority,
    clock,
    directory,
    entries: [{ id: "spiffe://example.org/edge" }, { id: "spiffe://example.org/internal", hint: "inside" }],
  });
  const client = new Client(agent.settings.endpointSocket, credentials.createInsecure());
  return {
    agent,
    clock,
    socketPath: join(directory, "api.sock"),
    call(metadata = header) {
      const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {}, metadata);
      call.on("error", () => undefined);
      const answers = call[Symbol.asyncIterator]() as AsyncIterator<X509SVIDResponse, never>;
      return { call, next: async () => (await answers.next()).value };
    },
    async [Symbol.asyncDispose]() {
      client.close();
      await agent[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

function leafOf({ svids: [first] }: X509SVIDResponse): Certificate {
  return new Certificate(first?.x509Svid ?? Buffer.alloc(0));
}
