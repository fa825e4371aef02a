import { status } from "@grpc/grpc-js";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { MeshError } from "../../src/mesh/adapter.ts";
import { createAuthority } from "../../src/mesh/development/authority.ts";
import { manualClock } from "../../test/fixtures/clock.ts";
import { connectMesh } from "../../test/fixtures/connected-mesh.ts";
import { createRoot } from "../../test/fixtures/pki.ts";
import type { SpiffeIdentity } from "./definition.ts";
import { type Entry, startDevelopmentAgent } from "../../test/fixtures/spire-agent/agent.ts";
import type { WorkloadTamper } from "../../test/fixtures/spire-agent/workload-server.ts";
import { adapter } from "./index.ts";
import { pauseMs } from "../../src/mesh/kit/grpc/calls.ts";
import { answerWithinMs } from "./agent.ts";

const edge = { id: "spiffe://example.org/edge", hint: "outside" };
const internal = { id: "spiffe://example.org/internal", hint: "inside" };

describe("an agent that gives several identities", () => {
  it("gives each watcher its own, by SPIFFE ID or by hint, over one call", async () => {
    await using world = await setUp({ entries: [edge, internal] });
    const [byId, byHint] = [world.watch({ id: edge.id }), world.watch({ hint: "inside" })];
    expect((await byId.next()).chain[0].uris).toEqual([edge.id]);
    expect((await byHint.next()).chain[0].uris).toEqual([internal.id]);
    expect(world.server.calls).toBe(1);
  });

  it("is asked to say which, unless one was published before", async () => {
    await using world = await setUp({ entries: [edge, internal] });
    const undecided = world.watch({});
    expect(await undecided.end()).toMatchObject({ code: "ATTACHE_MESH_IDENTITY_REFUSED" });
    const current = await world.watch({ id: internal.id }).next();
    expect((await world.watch({}, { current }).next()).chain[0].uris).toEqual([internal.id]);
  });

  it("wakes no watch whose identity did not change when another does", async () => {
    await using world = await setUp({ entries: [edge] });
    const watched = world.watch({ id: edge.id });
    const first = await watched.next();
    await world.agent.setEntries([edge, internal]);
    await world.eventually({ id: internal.id });
    expect(watched.seen).toEqual([first]);
  });
});

describe("an agent whose roots change", () => {
  it("gives the same leaf under the new bundle", async () => {
    await using world = await setUp();
    const watched = world.watch({});
    const first = await watched.next();
    world.tamper = ({ svids, ...rest }) => ({
      ...rest,
      svids: svids.map((svid) => ({ ...svid, bundle: Buffer.concat([svid.bundle, partner.der]) })),
    });
    world.server.pushAgain();
    await world.pass(() => watched.seen.length === 2);
    const [, second] = watched.seen;
    expect(second?.chain).toEqual(first.chain);
    expect(second?.bundle.map(String)).toEqual([...first.bundle, partner.certificate].map(String));
  });

  it("gives those of federated trust domains with it, where they are wanted", async () => {
    await using world = await setUp({ settings: { federatedTrustDomains: ["partner.example"] } });
    const watched = world.watch({});
    const first = await watched.next();
    world.agent.setFederated({ "spiffe://partner.example": partner.der });
    await world.pass(() => watched.seen.length === 2);
    expect(watched.seen[1]?.bundle).toHaveLength(first.bundle.length + 1);
  });
});

describe("an agent that has no entry for attaché", () => {
  it("is waited for, and says which entry is missing", async () => {
    await using world = await setUp();
    await world.agent.setEntries([]);
    const watched = world.watch({});
    await expect.poll(world.lastError).toMatchObject({
      code: "ATTACHE_MESH_FORBIDDEN",
      problem:
        "no registration entry gives attaché's process an identity (PERMISSION_DENIED): no identity issued",
      remedy: expect.stringContaining(`unix:uid:${process.getuid?.()}`) as string,
    });
    await world.agent.setEntries([edge]);
    await world.pass(() => watched.seen.length === 1);
    expect(world.states.at(-1)).toEqual({ connected: true });
  });

  it("takes back what it gave: who comes later gets nothing of it, who has it keeps it", async () => {
    await using world = await setUp();
    const watched = world.watch({});
    await watched.next();
    await world.agent.setEntries([]);
    await world.pass(() => world.lastError()?.code === "ATTACHE_MESH_FORBIDDEN");
    const late = world.watch({});
    await world.clock.advance(60_000);
    expect(late.seen).toEqual([]);
    await world.agent.setEntries([edge]);
    await world.pass(() => late.seen.length === 1);
    await world.pass(() => watched.seen.length === 2);
  });
});

describe("an agent that goes away", () => {
  it.each([
    ["ends its calls", undefined, "ATTACHE_MESH_UNAVAILABLE", "the agent ended the stream"],
    [
      "fails",
      {
        code: status.UNAVAILABLE,
        details: "could not serialize\u001b[2J: token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJlZGdlIn0.c2lnbmF0dXJl",
      },
      "ATTACHE_MESH_UNAVAILABLE",
      "the agent cannot serve now (UNAVAILABLE): could not serialize: token [removed]",
    ],
    [
      "does not see attaché's process",
      { code: status.UNAUTHENTICATED, details: "could not verify existence of the original caller" },
      "ATTACHE_MESH_UNAUTHENTICATED",
      "the agent cannot tell which process attaché is (UNAUTHENTICATED): could not verify existence of the original caller",
    ],
  ])("and %s is reported, and found again; the last credential stays", async (_, error, code, problem) => {
    await using world = await setUp();
    const watched = world.watch({});
    await watched.next();
    if (error === undefined) world.server.endCalls();
    else world.server.fail(error);
    await world.pass(() => world.lastError() !== undefined);
    expect(world.lastError()).toMatchObject({ code, problem: expect.stringContaining(problem) as string });
    world.server.recover();
    await world.pass(() => world.states.at(-1)?.connected === true);
    expect(watched.seen).toHaveLength(1);
    world.agent.renew();
    await world.pass(() => watched.seen.length === 2);
  });

  it("still gives the last credential to those who come meanwhile", async () => {
    await using world = await setUp();
    const first = await world.watch({}).next();
    await world.agent.stop();
    await world.pass(() => world.lastError()?.code === "ATTACHE_MESH_UNREACHABLE");
    expect(await world.watch({}).next()).toBe(first);
  });
});

describe("an agent that hangs", () => {
  it("is given a minute, and then another connection", async () => {
    await using world = await setUp({ tamper: () => undefined });
    const watched = world.watch({});
    await expect.poll(() => world.server.calls).toBe(1);
    await world.clock.advance(answerWithinMs - 1);
    expect(world.states).toEqual([]);
    await world.clock.advance(1);
    await expect.poll(world.lastError).toMatchObject({
      code: "ATTACHE_MESH_TIMEOUT",
      problem: "the agent did not answer in 60 s",
    });
    await expect.poll(() => world.server.calls).toBe(0);
    world.tamper = asItIs;
    await world.pass(() => watched.seen.length === 1);
  });

  it("without a word of HTTP/2 is given a minute too", async () => {
    await using world = await setUp();
    await world.agent.stop();
    const mute = createServer().listen(world.socketPath);
    onTestFinished(() => void mute.close());
    world.watch({});
    await world.clock.sleeping(1);
    await world.clock.advance(answerWithinMs);
    await expect.poll(world.lastError).toMatchObject({ code: "ATTACHE_MESH_TIMEOUT" });
  });

  it("after it has answered is asked afresh when three quarters of the leaf's life are over", async () => {
    await using world = await setUp();
    const watched = world.watch({});
    const first = await watched.next();
    world.tamper = () => undefined;
    world.agent.renew();
    await world.clock.advance(44 * minuteMs);
    expect(world.states).toEqual([{ connected: true }]);
    await world.clock.advance(minuteMs);
    await expect.poll(world.lastError).toMatchObject({
      code: "ATTACHE_MESH_TIMEOUT",
      problem: `the agent has not renewed the certificate that expires at ${first.chain[0].notAfter.toISOString()}`,
    });
    world.tamper = asItIs;
    await world.pass(() => watched.seen.length === 2);
  });

  it("is not asked afresh for the sake of a watch that has ended", async () => {
    await using world = await setUp();
    const over = new AbortController();
    const watched = world.watch({}, { signal: over.signal });
    await watched.next();
    over.abort(new Error("no longer wanted"));
    await watched.end();
    await world.clock.advance(60 * minuteMs);
    expect(world.states).toEqual([{ connected: true }]);
  });
});

describe("an agent that floods", () => {
  it("is read once in a pause at most, until the newest has come", async () => {
    await using world = await setUp();
    const watched = world.watch({});
    await watched.next();
    const { svids } = world.lastSent();
    const startedAt = world.clock.now();
    for (let pushes = 1; pushes <= 50; pushes += 1) {
      world.server.set({
        svids: svids.map((svid) => ({ ...svid, hint: `${pushes}` })),
        crl: [],
        federatedBundles: {},
      });
    }
    await world.eventually({ hint: "50" });
    const pauses = (world.clock.now().getTime() - startedAt.getTime()) / pauseMs;
    expect(watched.seen.length - 1).toBeLessThanOrEqual(pauses);
  });
});

describe("an agent whose answer cannot be used", () => {
  it.each<[string, WorkloadTamper, string]>([
    [
      "no message at all",
      () => Buffer.from("<html>"),
      "the agent sent something that is no answer to FetchX509SVID",
    ],
    [
      "larger than 4 MiB",
      (answer) => ({ ...answer, federatedBundles: { x: Buffer.alloc(4 * 1024 * 1024) } }),
      "the agent sent an answer that is larger than attaché reads",
    ],
    ["empty", () => ({ svids: [], crl: [], federatedBundles: {} }), "the agent's answer holds no identity"],
  ])("because it is %s loses its connection; the last credential stays", async (_, tamper, problem) => {
    await using world = await setUp();
    const watched = world.watch({});
    await watched.next();
    world.tamper = tamper;
    world.agent.renew();
    await world.pass(() => world.lastError() !== undefined);
    expect(world.lastError()).toMatchObject({
      code: "ATTACHE_MESH_MALFORMED",
      problem: expect.stringContaining(problem) as string,
    });
    world.tamper = asItIs;
    await world.pass(() => watched.seen.length === 2);
  });

  it("for one identity concerns no other", async () => {
    await using world = await setUp({
      entries: [edge, internal],
      tamper: ({ svids: [first, ...others], ...rest }) => ({
        ...rest,
        svids: first === undefined ? [] : [{ ...first, x509SvidKey: Buffer.from("garbage") }, ...others],
      }),
    });
    const [broken, sound] = [world.watch({ id: edge.id }), world.watch({ id: internal.id })];
    await sound.next();
    expect(await broken.end()).toMatchObject({
      code: "ATTACHE_MESH_MALFORMED",
      problem: expect.stringContaining(`the SVID ${edge.id}: private key: `) as string,
    });
    expect(world.states).toEqual([{ connected: true }]);
  });
});

describe("a Workload API over TCP", () => {
  it("is asked directly, whatever proxy the environment names", async () => {
    vi.stubEnv("http_proxy", "http://127.0.0.1:1");
    onTestFinished(() => void vi.unstubAllEnvs());
    await using world = await setUp({ tcp: true });
    expect((await world.watch({}).next()).chain[0].uris).toEqual([edge.id]);
  });

  it("that is away is reported as such", async () => {
    await using world = await setUp({ tcp: true });
    await world.agent.stop();
    world.watch({});
    await expect.poll(world.lastError).toMatchObject({
      code: "ATTACHE_MESH_UNREACHABLE",
      problem: expect.stringContaining("ECONNREFUSED") as string,
    });
  });
});

const minuteMs = 60_000;
const partner = await createRoot();
const asItIs: WorkloadTamper = (answer) => answer;

interface Terms {
  readonly entries?: readonly [Entry, ...Entry[]];
  readonly tamper?: WorkloadTamper;
  readonly settings?: object;
  /** Whether the agent listens on a port instead of a Unix socket. */
  readonly tcp?: boolean;
}

/** The agent, whose clock stands still, and the adapter, whose clock the test moves. */
async function setUp({ entries = [edge], tamper = asItIs, settings = {}, tcp = false }: Terms = {}) {
  const folder = await mkdtemp(join(tmpdir(), "attache-"));
  const agentClock = manualClock();
  const authority = await createAuthority({ trustDomain: "example.org", clock: agentClock });
  let sent: Parameters<WorkloadTamper>[0] = { svids: [], crl: [], federatedBundles: {} };
  const agent = await startDevelopmentAgent({
    authority,
    clock: agentClock,
    ...(!tcp && { directory: folder }),
    entries,
    tamper: (answer) => {
      sent = answer;
      return world.tamper(answer);
    },
  });
  const settingsOf = { ...agent.settings, ...settings };
  const connected = await connectMesh(adapter, settingsOf, { stepMs: pauseMs });
  const { states } = connected;

  const world = {
    ...connected,
    agent,
    tamper,
    socketPath: join(folder, "api.sock"),
    get server() {
      if (agent.server === undefined) throw new Error("the agent is stopped");
      return agent.server;
    },
    lastSent: () => sent,
    lastError: () => states.findLast((state) => !state.connected)?.error,
    /** As the reconciler does it: watches again when a watch ends, until there is a credential. */
    async eventually(identity: SpiffeIdentity): Promise<void> {
      const isRefused = (error: unknown) => MeshError.is(error);
      while (
        isRefused(
          await connected
            .watch(identity)
            .next()
            .catch((error: unknown) => error),
        )
      );
    },
    async [Symbol.asyncDispose]() {
      await connected[Symbol.asyncDispose]();
      await agent[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
  return world;
}
