import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adapter } from "../../../adapters/spiffe/index.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { watchOptions } from "../../fixtures/watch-options.ts";
import { type Spire, startSpire } from "./spire.ts";

const edge = { id: "spiffe://example.org/edge", hint: "outside" };
const internal = { id: "spiffe://example.org/internal", hint: "inside" };

let spire: Spire;

beforeAll(async () => {
  spire = await startSpire();
});

afterAll(() => spire[Symbol.asyncDispose]());

describe("what is wrong at a real SPIRE is reported with a remedy:", () => {
  it("no entry for attaché", async () => {
    expect(await problems()).toEqual([
      {
        name: "identities",
        status: "failed",
        message:
          "no registration entry gives attaché's process an identity (PERMISSION_DENIED): no identity issued",
        remedy: expect.stringContaining(`unix:uid:${process.getuid?.()}`) as string,
      },
    ]);
  });

  it("several entries, and none said", async () => {
    await spire.createEntry(edge);
    await spire.createEntry(internal);
    await spire.untilGiven([edge.id, internal.id]);
    expect(await problems()).toEqual([]);
    const all = 'spiffe://example.org/edge (hint "outside"), spiffe://example.org/internal (hint "inside")';
    await expect(first({})).rejects.toMatchObject({
      code: "ATTACHE_MESH_IDENTITY_REFUSED",
      problem: `the agent gives attaché several identities: ${all}`,
    });
    await expect(first({ id: "spiffe://example.org/none" })).rejects.toMatchObject({
      code: "ATTACHE_MESH_FORBIDDEN",
      problem: `the agent does not give attaché spiffe://example.org/none, only ${all}`,
    });
    expect(await first({ hint: "inside" })).toBe(internal.id);
  });

  it("a federated trust domain that the entry does not name", async () => {
    expect(await problems({ federatedTrustDomains: ["partner.example"] })).toMatchObject([
      {
        name: "federation with partner.example",
        status: "warning",
        remedy: expect.stringContaining("-federatesWith spiffe://partner.example") as string,
      },
    ]);
  });

  it("a socket of something else", async () => {
    const endpointSocket = `unix://${join(spire.folder, "server.sock")}`;
    expect(await problems({ endpointSocket })).toMatchObject([
      {
        name: "Workload API",
        message: `what listens at ${endpointSocket} is no SPIFFE Workload API (UNIMPLEMENTED): unknown service SpiffeWorkloadAPI`,
      },
    ]);
  });

  it("no agent", async () => {
    await spire.stopAgent();
    expect(await problems()).toMatchObject([
      { name: "Workload API", message: `there is no socket at ${spire.socketPath}` },
    ]);
  });
});

async function connect(settings: object) {
  return adapter.connect(adapter.settings.parse({ endpointSocket: spire.endpointSocket, ...settings }), {
    name: "spiffe",
    clock: systemClock,
    logger: createLogger("silent"),
    env: {},
    connection: () => undefined,
  });
}

async function problems(settings = {}) {
  await using mesh = await connect(settings);
  const checks = await mesh.check();
  return checks.filter(({ status }) => status !== "ok");
}

/** The SPIFFE ID of the first credential of an identity. */
async function first(identity: unknown): Promise<string | undefined> {
  await using mesh = await connect({});
  const { signal } = new AbortController();
  for await (const { chain } of mesh.watch(adapter.identity.parse(identity), watchOptions(signal))) {
    return chain[0].uris[0];
  }
  return undefined;
}
