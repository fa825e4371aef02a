import { status } from "@grpc/grpc-js";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { createLeaf, createRoot } from "../../../test/fixtures/pki.ts";
import { settleMs } from "../../../src/mesh/kit/pair-assembler.ts";
import { startDevelopmentAgent } from "../development/index.ts";
import type { SdsTamper } from "../development/sds-server.ts";
import { bundleSecret, workloadSecret } from "../development/secrets.ts";
import { adapter } from "../index.ts";
import { type DataSource, type DiscoveryResponse, secret } from "../proto/sds.pb.ts";
import { pauseMs } from "../../../src/mesh/kit/grpc/calls.ts";
import { answerWithinMs } from "./secret-stream.ts";
import { watchOptions } from "../../../test/fixtures/watch-options.ts";
import { watchMesh } from "../../../test/fixtures/watched-mesh.ts";

describe("an Istio agent that sends its two secrets in parts", () => {
  it.each(["default", "ROOTCA"])("gives one credential when %s comes last", async (last) => {
    await using world = await setUp((answer, name) => (name === last ? undefined : answer));
    await expect.poll(() => world.server.streams).toBe(2);
    expect(world.seen).toEqual([]);
    world.tamper = asItIs;
    world.server.pushAgain(last);
    const credential = await world.next();
    expect(credential.chain).toHaveLength(1);
    expect(credential.bundle.map(String)).toEqual(world.roots());
    expect(world.states).toEqual([{ connected: true }]);
  });

  it("is reported when one never comes, and asked again until both do", async () => {
    await using world = await setUp((answer, name) => (name === "ROOTCA" ? undefined : answer));
    await expect.poll(() => world.server.streams).toBe(2);
    await world.clock.advance(answerWithinMs);
    await expect.poll(world.lastError).toMatchObject({
      code: "ATTACHE_MESH_TIMEOUT",
      problem: "the agent (secret ROOTCA) did not answer in 60 s",
    });
    world.tamper = asItIs;
    await world.passUntil(() => world.seen.length === 1);
    expect(world.states.at(-1)).toEqual({ connected: true });
  });

  it("gives nothing new when it sends the same again", async () => {
    await using world = await setUp();
    const first = await world.next();
    world.server.pushAgain("default");
    world.server.pushAgain("ROOTCA");
    world.agent.renew();
    const second = await world.next();
    expect(world.seen).toEqual([first, second]);
    expect(second.chain[0].serialNumber).not.toBe(first.chain[0].serialNumber);
    expect(world.server.refusals).toEqual([]);
  });

  it("gives a new leaf and the new root together, however long the root takes within reason", async () => {
    await using world = await setUp();
    const first = await world.next();
    const { leaf, roots } = await anotherMesh();
    world.server.set(leaf);
    const isSettling = (ms: number) => ms <= settleMs && ms > settleMs - 2 * pauseMs;
    await world.passUntil(() => world.clock.sleeps.some(isSettling));
    await world.clock.advance(settleMs - 3 * pauseMs);
    expect(world.seen).toEqual([first]);
    world.server.set(roots);
    const second = await world.next();
    expect(second.bundle.map(String)).toEqual(["CN=other"]);
    expect(second.chain[0].uris).toEqual(["spiffe://other/ns/emissary/sa/edge"]);
  });

  it("hands a leaf on, for the policies to judge, when no root comes that it leads to", async () => {
    await using world = await setUp();
    const first = await world.next();
    const { leaf } = await anotherMesh();
    world.server.set(leaf);
    await world.passUntil(() => world.seen.length === 2);
    expect(world.seen[1]?.chain[0].uris).toEqual(["spiffe://other/ns/emissary/sa/edge"]);
    expect(world.seen[1]?.bundle).toEqual(first.bundle);
  });
});

describe("an Istio agent that goes away", () => {
  it.each([
    ["closes its streams", undefined, "ATTACHE_MESH_UNAVAILABLE", ") ended the stream"],
    [
      "has lost its CA",
      {
        code: status.UNKNOWN,
        details: "failed to sign\u001b[2J: token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJlZGdlIn0.c2lnbmF0dXJl",
      },
      "ATTACHE_MESH_UNAVAILABLE",
      "the agent cannot give the certificate now (UNKNOWN): failed to sign: token [removed]",
    ],
    [
      "refuses",
      { code: status.PERMISSION_DENIED, details: "no identity issued" },
      "ATTACHE_MESH_FORBIDDEN",
      "the agent refuses attaché this secret (PERMISSION_DENIED): no identity issued",
    ],
  ])("and %s is reported, and found again; the last credential stays", async (_, error, code, problem) => {
    await using world = await setUp();
    await world.next();
    if (error === undefined) world.server.endStreams();
    else world.server.fail(error);
    await expect
      .poll(world.lastError)
      .toMatchObject({ code, problem: expect.stringContaining(problem) as string });
    world.server.recover();
    await world.passUntil(() => world.states.at(-1)?.connected === true);
    expect(world.seen).toHaveLength(1);
    world.agent.renew();
    await world.passUntil(() => world.seen.length === 2);
  });

  it("still gives the last credential to those who come meanwhile", async () => {
    await using world = await setUp();
    const first = await world.next();
    await world.agent.stop();
    await world.passUntil(() => world.lastError()?.code === "ATTACHE_MESH_UNREACHABLE");
    for await (const credential of world.mesh.watch({}, watchOptions(new AbortController().signal))) {
      expect(credential).toBe(first);
      break;
    }
  });
});

describe("an Istio agent that hangs", () => {
  it("is given a minute, whatever the clock shows, and then another connection", async () => {
    await using world = await setUp(() => undefined);
    await expect.poll(() => world.server.streams).toBe(2);
    world.clock.set(new Date("2025-01-01T00:00:00Z"));
    await world.clock.advance(answerWithinMs - 1);
    expect(world.states).toEqual([]);
    await world.clock.advance(1);
    await expect.poll(world.lastError).toMatchObject({ code: "ATTACHE_MESH_TIMEOUT" });
    await expect.poll(() => world.server.streams).toBe(0);
    world.tamper = asItIs;
    await world.passUntil(() => world.seen.length === 1);
  });

  it("without a word of HTTP/2 is given a minute too", async () => {
    await using world = await setUp();
    await world.agent.stop();
    const mute = createServer().listen(world.agent.settings.socket);
    await using other = await watchMesh(adapter, world.agent.settings);
    await once(mute, "connection");
    await other.clock.advance(answerWithinMs);
    await expect.poll(other.lastError).toMatchObject({ code: "ATTACHE_MESH_TIMEOUT" });
    mute.close();
  });

  it("after it has answered is asked afresh when three quarters of the leaf's life are over", async () => {
    await using world = await setUp();
    const first = await world.next();
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
    await world.passUntil(() => world.seen.length === 2);
  });
});

describe("an Istio agent whose answer cannot be used", () => {
  it.each<[string, SdsTamper, string]>([
    [
      "of an unknown type",
      (answer) => ({ ...answer, typeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster" }),
      'the answer for default is of type "type.googleapis.com/envoy.config.cluster.v3.Cluster"',
    ],
    [
      "garbage",
      (answer) => withSecret(answer, { inlineBytes: Buffer.from("garbage") }),
      "the secret default: ",
    ],
  ])("because it is %s is reported so; the last credential stays", async (_, tamper, problem) => {
    await using world = await setUp();
    await world.next();
    world.tamper = tamper;
    world.agent.renew();
    await world.passUntil(() => world.server.refusals.length > 0);
    const saysSo = expect.stringContaining(problem) as string;
    expect(world.server.refusals).toEqual([{ name: "default", message: saysSo }]);
    expect(world.lastError()).toMatchObject({ code: "ATTACHE_MESH_MALFORMED", problem: saysSo });
    world.tamper = asItIs;
    world.agent.renew();
    await world.next();
    expect(world.seen).toHaveLength(2);
    expect(world.states.at(-1)).toEqual({ connected: true });
  });

  it.each<[string, SdsTamper, string]>([
    ["no message at all", () => Buffer.from("<html>"), ") sent something that is no answer to StreamSecrets"],
    [
      "larger than 1 MiB",
      (answer) => ({ ...answer, versionInfo: "x".repeat(1024 * 1024) }),
      "sent an answer that is larger than attaché reads",
    ],
  ])("because it is %s loses its connection; the last credential stays", async (_, tamper, problem) => {
    await using world = await setUp();
    await world.next();
    world.tamper = tamper;
    world.agent.renew();
    await world.passUntil(() => world.lastError() !== undefined);
    expect(world.lastError()).toMatchObject({
      code: "ATTACHE_MESH_MALFORMED",
      problem: expect.stringContaining(problem) as string,
    });
    world.tamper = asItIs;
    await world.next();
    expect(world.seen).toHaveLength(2);
  });
});

const minuteMs = 60_000;

const asItIs: SdsTamper = (answer) => answer;

/** The agent, whose clock stands still, and the adapter, whose clock the test moves. */
async function setUp(tamper: SdsTamper = asItIs) {
  const directory = await mkdtemp(join(tmpdir(), "attache-"));
  const agentClock = manualClock();
  const authority = await createAuthority({ trustDomain: "cluster.local", clock: agentClock });
  const agent = await startDevelopmentAgent({
    authority,
    clock: agentClock,
    directory,
    namespace: "emissary",
    serviceAccount: "edge",
    tamper: (answer, name) => world.tamper(answer, name),
  });
  const connection = await watchMesh(adapter, agent.settings);
  const world = {
    ...connection,
    agent,
    tamper,
    get server() {
      if (agent.server === undefined) throw new Error("the agent is stopped");
      return agent.server;
    },
    roots: () => authority.roots().map(({ certificate }) => String(certificate)),
    async [Symbol.asyncDispose]() {
      await connection[Symbol.asyncDispose]();
      await agent[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
  return world;
}

/** The answer with another private key in it. */
function withSecret(answer: DiscoveryResponse, privateKey: DataSource): DiscoveryResponse {
  return {
    ...answer,
    resources: answer.resources.map(({ typeUrl, value }) => {
      const { tlsCertificate, ...rest } = secret.decode(value);
      return {
        typeUrl,
        value: secret.encode({
          ...rest,
          tlsCertificate: tlsCertificate && { ...tlsCertificate, privateKey },
        }),
      };
    }),
  };
}

/** What the agent would hold after its trust domain and CA have changed. */
async function anotherMesh() {
  const root = await createRoot({ subject: "CN=other" });
  const leaf = await createLeaf(root, { uris: ["spiffe://other/ns/emissary/sa/edge"] });
  return {
    leaf: workloadSecret(leaf.key, [leaf.certificate, root.certificate]),
    roots: bundleSecret([root.certificate]),
  };
}
