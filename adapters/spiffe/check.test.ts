import { status } from "@grpc/grpc-js";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Check } from "../../src/mesh/adapter.ts";
import { createAuthority } from "../../src/mesh/development/authority.ts";
import { manualClock } from "../../test/fixtures/clock.ts";
import { createRoot } from "../../test/fixtures/pki.ts";
import { checkAgent } from "./check.ts";
import { type Entry, startDevelopmentAgent } from "../../test/fixtures/spire-agent/agent.ts";
import type { WorkloadTamper } from "../../test/fixtures/spire-agent/workload-server.ts";
import { readEndpoint } from "./endpoint.ts";

const edge = { id: "spiffe://example.org/edge" };
const internal = { id: "spiffe://example.org/internal", hint: "inside" };
const partner = await createRoot();

describe("the check of a Workload API", () => {
  it("names what the agent gives, when all is well", async () => {
    await using world = await setUp({ entries: [edge, internal] });
    expect(await world.check()).toEqual([
      { name: "Workload API", status: "ok", message: `the agent answers at ${world.url}` },
      {
        name: "identities",
        status: "ok",
        message: 'spiffe://example.org/edge, spiffe://example.org/internal (hint "inside")',
      },
      { name: "certificates", status: "ok", message: "all are valid and lead to their trust bundles" },
    ]);
  });

  it("says when there is no socket, or no server on it", async () => {
    await using world = await setUp();
    await world.agent.stop();
    await rm(world.socketPath, { force: true });
    expect(await world.check()).toEqual([
      {
        name: "Workload API",
        status: "failed",
        message: `there is no socket at ${world.socketPath}`,
        remedy: expect.stringContaining("SPIFFE_ENDPOINT_SOCKET") as string,
      },
    ]);
    await writeFile(world.socketPath, "");
    expect(await world.check()).toMatchObject([{ message: `no process listens on ${world.socketPath}` }]);
  });

  // To root every file is open.
  it.skipIf(process.getuid?.() === 0)("says when attaché's user may not connect", async () => {
    await using world = await setUp();
    await chmod(world.socketPath, 0o000);
    expect(await world.check()).toMatchObject([
      { message: `attaché may not connect to ${world.socketPath}` },
    ]);
  });

  it("says which entry is missing", async () => {
    await using world = await setUp();
    await world.agent.setEntries([]);
    expect(await world.check()).toEqual([
      { name: "Workload API", status: "ok", message: `the agent answers at ${world.url}` },
      {
        name: "identities",
        status: "failed",
        message:
          "no registration entry gives attaché's process an identity (PERMISSION_DENIED): no identity issued",
        remedy: expect.stringContaining("spire-server entry create") as string,
      },
    ]);
  });

  it("says when something else listens", async () => {
    await using world = await setUp();
    world.agent.server?.fail({ code: status.UNIMPLEMENTED, details: "unknown service SpiffeWorkloadAPI" });
    expect(await world.check()).toMatchObject([
      {
        status: "failed",
        message: `what listens at ${world.url} is no SPIFFE Workload API (UNIMPLEMENTED): unknown service SpiffeWorkloadAPI`,
      },
    ]);
  });

  it("does not wait for ever", async () => {
    const asked = Promise.withResolvers<undefined>();
    await using world = await setUp({
      tamper: () => {
        asked.resolve(undefined);
        return undefined;
      },
    });
    const checks = world.check();
    await asked.promise;
    await world.clock.advance(10_000);
    expect(await checks).toMatchObject([
      { name: "Workload API", status: "failed", message: "the agent did not answer in 10 s" },
    ]);
  });

  it.each([
    [44, []],
    [45, [{ status: "warning", message: /^valid until .*, and its renewal is overdue$/ }]],
    [61, [{ status: "failed", message: /^expired at / }]],
    [-7, [{ status: "failed", message: /^not valid before / }]],
  ])("looks at the certificates: after %i minutes of 60", async (minutes, wrong) => {
    await using world = await setUp();
    world.clock.set(new Date(world.clock.now().getTime() + minutes * 60_000));
    const found = (await world.check()).filter((check) => check.status !== "ok");
    expect(found).toMatchObject(
      wrong.map(({ status, message }) => ({
        name: "certificate of spiffe://example.org/edge",
        status,
        message: expect.stringMatching(message) as string,
        remedy: expect.any(String) as string,
      })),
    );
  });

  it("looks at the trust bundle, and at what cannot be read", async () => {
    await using world = await setUp({
      entries: [edge, internal],
      tamper: ({ svids: [first, second], ...rest }) => ({
        ...rest,
        svids: [
          ...(first === undefined ? [] : [{ ...first, bundle: partner.der }]),
          ...(second === undefined ? [] : [{ ...second, x509SvidKey: Buffer.alloc(0) }]),
        ],
      }),
    });
    expect((await world.check()).slice(2)).toMatchObject([
      {
        name: "certificate of spiffe://example.org/edge",
        status: "failed",
        message: expect.stringContaining(
          "does not lead to its trust bundle: no CA in chain or bundle",
        ) as string,
      },
      {
        name: "certificate of spiffe://example.org/internal",
        status: "failed",
        message: "the SVID spiffe://example.org/internal: private key: no private key",
      },
    ]);
  });

  it("looks for the federated trust domains that are wanted", async () => {
    await using world = await setUp();
    const federation = async (wanted: string[]) => (await world.check(wanted)).slice(3);
    expect(await federation([])).toEqual([]);
    expect(await federation(["*"])).toEqual([
      { name: "federation", status: "ok", message: "no federated bundle" },
    ]);
    world.agent.setFederated({ "spiffe://partner.example": partner.der });
    expect(await federation(["partner.example", "gone.example"])).toEqual([
      { name: "federation", status: "ok", message: "bundles of partner.example" },
      {
        name: "federation with gone.example",
        status: "warning",
        message: "the agent gives no bundle of it",
        remedy: expect.stringContaining("-federatesWith spiffe://gone.example") as string,
      },
    ]);
  });

  it("warns of keys that cross the network", async () => {
    const elsewhere = { ...readEndpoint("tcp://127.0.0.1:1"), isLocal: false, url: "tcp://192.0.2.1:8081" };
    await using world = await setUp({ tcp: true });
    const endpoint = { ...world.endpoint, ...elsewhere, target: world.endpoint.target };
    expect((await checkAgent(endpoint, [], world.clock))[1]).toMatchObject({
      name: "transport",
      status: "warning",
      message: "private keys cross the network in plain text",
    });
  });
});

interface Terms {
  readonly entries?: readonly [Entry, ...Entry[]];
  readonly tamper?: WorkloadTamper;
  readonly tcp?: boolean;
}

async function setUp({ entries = [edge], tamper, tcp = false }: Terms = {}) {
  const folder = await mkdtemp(join(tmpdir(), "attache-"));
  const agentClock = manualClock();
  const authority = await createAuthority({ trustDomain: "example.org", clock: agentClock });
  const agent = await startDevelopmentAgent({
    authority,
    clock: agentClock,
    ...(!tcp && { directory: folder }),
    entries,
    ...(tamper && { tamper }),
  });
  const url = agent.settings.endpointSocket;
  const endpoint = readEndpoint(url) ?? expect.unreachable();
  const clock = manualClock();
  return {
    agent,
    clock,
    url,
    endpoint,
    socketPath: join(folder, "api.sock"),
    check: (federated: string[] = []): Promise<Check[]> => checkAgent(endpoint, federated, clock),
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}
