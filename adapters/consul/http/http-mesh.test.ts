import { describe, expect, it } from "vitest";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { connectMesh, isOtherThan } from "../../../test/fixtures/connected-mesh.ts";
import { createLeaf, createRoot, unreadablePem } from "../../../test/fixtures/pki.ts";
import {
  type Answer,
  type ApiRequest,
  startDevelopmentAgent,
} from "../../../test/fixtures/consul-agent/agent.ts";
import { adapter } from "../index.ts";

const leafPath = "/v1/agent/connect/ca/leaf/web";
const rootsPath = "/v1/agent/connect/ca/roots";

describe("an identity of Consul", () => {
  it("has a leaf for its service, all roots, and the latest time at which Consul renews it", async () => {
    await using world = await setUp();
    const { chain, bundle, renewalTime } = await world.next();
    expect(chain.map(({ uris }) => uris)).toEqual([["spiffe://11.consul/ns/default/dc/dc1/svc/web"]]);
    expect(bundle).toEqual(world.authority.roots().map(({ certificate }) => certificate));
    const { notBefore, notAfter } = chain[0];
    expect(renewalTime?.getTime()).toBe(
      notBefore.getTime() + 0.9 * (notAfter.getTime() - notBefore.getTime()),
    );
  });

  it("keeps the cross-signed root in the chain and out of the bundle, and trusts both roots", async () => {
    await using world = await setUp();
    await world.next();
    const active = await world.authority.rotateRoot();
    const { chain, bundle } = await world.until(({ chain: { length } }) => length === 2);
    expect(chain[1]).toEqual(active.intermediates[0]);
    expect(bundle.map(String)).toEqual(world.authority.roots().map(({ certificate }) => String(certificate)));
  });

  it("has the roots that can be read, and names one that cannot", async () => {
    await using world = await setUp();
    const { bundle, leftOut } = await world.next();
    expect(leftOut).toBeUndefined();
    world.agent.tamper((answer, { path }) => {
      if (path !== rootsPath) return answer;
      const { Roots } = JSON.parse(answer.body) as { Roots: unknown[] };
      return { ...answer, body: withField(answer.body, "Roots", [...Roots, { RootCert: unreadablePem }]) };
    });
    await world.agentClock.advance(120_000);
    const next = await world.next();
    expect(next.bundle).toEqual(bundle);
    expect(next.leftOut).toMatchObject([{ reason: "UnreadableByEnvoy" }]);
  });

  it("costs one query that waits, and the roots another, and no leaf more than Consul makes", async () => {
    await using world = await setUp();
    await world.next();
    await world.agent.renew();
    await world.next();
    await expect.poll(() => world.asked(leafPath)).toHaveLength(3);
    await expect.poll(() => world.asked(rootsPath)).toHaveLength(2);
    expect(world.agent.issued).toBe(2);
    expect(world.asked(leafPath)[2]?.query.get("wait")).toBe("300000ms");
    expect(world.asked(rootsPath)[1]?.query.get("wait")).toBe("60000ms");
  });
});

describe("an identity with more than a service", () => {
  it("is asked for in its namespace and partition", async () => {
    await using world = await setUp();
    world.agent.tamper((answer, { path, query }) => {
      if (path !== leafPath) return answer;
      const body = `Invalid query parameter: "${[...query.keys()].join()}" - Namespaces are a Consul Enterprise feature`;
      return { status: 400, headers: {}, body };
    });
    const error = await world.watch({ service: "web", namespace: "shop", partition: "eu" }).end();
    expect(error).toMatchObject({
      code: "ATTACHE_MESH_IDENTITY_REFUSED",
      message: expect.stringContaining('"ns,partition"') as string,
      retryable: false,
    });
  });

  it.each([".", "..", "a/b", "a\n", "\u200b"])(
    "is refused with the name %j, which no agent takes",
    async (service) => {
      await using world = await setUp();
      expect(await world.watch({ service }).end()).toMatchObject({
        code: "ATTACHE_MESH_IDENTITY_REFUSED",
        retryable: false,
        remedy: expect.stringContaining("mode grpc") as string,
      });
    },
  );

  it("is refused with a ServiceAccount", async () => {
    await using world = await setUp();
    expect(await world.watch({ service: "web", serviceAccount: "web" }).end()).toMatchObject({
      code: "ATTACHE_MESH_IDENTITY_REFUSED",
      remedy: expect.stringContaining("mode grpc") as string,
    });
  });
});

describe("a Consul whose index goes down", () => {
  it("is asked afresh, and its next leaf comes", async () => {
    await using world = await setUp();
    const first = await world.next();
    world.agent.tamper((answer) => ({ ...answer, headers: { ...answer.headers, "x-consul-index": "2" } }));
    await world.agent.renew();
    const second = await world.until(isOtherThan(first));
    world.agent.tamper(undefined);
    await world.agent.renew();
    await world.until(isOtherThan(second));
    const indexes = world.asked(leafPath).map(({ query }) => query.get("index"));
    // At once, then blocking; after the 2, which is lower, at once again.
    expect(indexes.slice(0, 3)).toEqual([null, expect.stringMatching(/^\d\d$/), null]);
  });

  it("is asked afresh when its state was restored from a snapshot", async () => {
    await using world = await setUp();
    const first = await world.next();
    await world.agent.rewind();
    // What the agent does with a query for an index that it has no longer reached.
    await expect.poll(() => world.asked(leafPath).length).toBeGreaterThan(1);
    await world.agentClock.advance(320_000);
    await expect.poll(() => world.asked(leafPath).filter(({ query }) => !query.has("index"))).toHaveLength(2);
    await world.agent.renew();
    await world.until(isOtherThan(first));
  });
});

describe("a Consul that answers at once, whatever the index", () => {
  it.each(["0", "garbage"])(
    "and says %j is not asked without end, and yields the same once",
    async (index) => {
      await using world = await setUp();
      world.agent.tamper((answer) => ({ ...answer, headers: { "x-consul-index": index } }));
      const first = await world.next();
      const isPacing = () => world.clock.sleeps.filter((ms) => ms <= 1000).length === 2;
      await expect.poll(isPacing).toBe(true);
      expect(world.asked(leafPath)).toHaveLength(6);
      expect(world.asked(rootsPath)).toHaveLength(6);
      expect(world.seen).toEqual([first]);
    },
  );
});

describe("a leaf that is refused", () => {
  it.each([
    [403, "Permission denied: token lacks permission 'service:write' on \"web\"", "ATTACHE_MESH_FORBIDDEN"],
    [403, "ACL not found", "ATTACHE_MESH_UNAUTHENTICATED"],
    [429, "Rate limit reached, try again later", "ATTACHE_MESH_RATE_LIMITED"],
    [500, "No cluster leader", "ATTACHE_MESH_UNAVAILABLE"],
    [503, "", "ATTACHE_MESH_UNAVAILABLE"],
  ])("with %i %j ends its own watch, and no other", async (status, body, code) => {
    await using world = await setUp();
    const other = world.watch({ service: "other" });
    await Promise.all([world.next(), other.next()]);
    world.agent.tamper((answer, { path }) => (path === leafPath ? { status, headers: {}, body } : answer));
    await world.agent.renew();
    // Those that may pass are tried a few times first.
    await expect(world.end(500)).resolves.toMatchObject({ code });
    await other.next();
    expect(world.states).toEqual([{ connected: true }]);
  });

  it.each([
    [429, "ATTACHE_MESH_RATE_LIMITED"],
    [503, "ATTACHE_MESH_UNAVAILABLE"],
  ])("with %i and Retry-After ends its watch at once, and says how long to wait", async (status, code) => {
    await using world = await setUp();
    world.agent.tamper((answer, { path }) =>
      path === leafPath ? { status, headers: { "retry-after": "11" }, body: "" } : answer,
    );
    expect(await world.end()).toMatchObject({ code, retryAfterMs: 11_000 });
    expect(world.asked(leafPath)).toHaveLength(1);
  });
});

describe("an answer that cannot be used", () => {
  it.each([
    ["is cut in the middle", (answer: Answer) => ({ ...answer, cutAt: 100 })],
    ["is no JSON", (answer: Answer) => ({ ...answer, body: "<html>" })],
    ["is cut and has the right length", (answer: Answer) => ({ ...answer, body: answer.body.slice(0, 900) })],
  ])("for the leaf, because it %s, ends the watch", async (_what, tamper) => {
    await using world = await setUp();
    await world.next();
    world.agent.tamper((answer, { path }) => (path === leafPath ? tamper(answer) : answer));
    await world.agent.renew();
    await expect(world.end()).resolves.toMatchObject({ code: "ATTACHE_MESH_MALFORMED" });
  });

  it("for the roots is reported, and the watch lives on with the roots that it has", async () => {
    await using world = await setUp();
    const first = await world.next();
    world.agent.tamper((answer, { path }) => (path === rootsPath ? { ...answer, body: "{}" } : answer));
    await world.authority.rotateRoot();
    await expect
      .poll(() => world.states.at(-1))
      .toMatchObject({
        connected: false,
        error: { code: "ATTACHE_MESH_MALFORMED" },
      });
    expect(world.seen.map(({ bundle }) => bundle)).toEqual(world.seen.map(() => first.bundle));
    world.agent.tamper(undefined);
    await world.pass(() => world.seen.some(({ bundle }) => bundle.length === 2), 500);
    expect(world.states.at(-1)).toEqual({ connected: true });
  });
});

describe("a leaf that comes with another one's key", () => {
  it("is handed on for the policies to judge", async () => {
    await using world = await setUp();
    const { key } = await createLeaf(await createRoot());
    const other = key.export({ type: "sec1", format: "pem" });
    world.agent.tamper((answer, { path }) =>
      path === leafPath ? { ...answer, body: withField(answer.body, "PrivateKeyPEM", other) } : answer,
    );
    const { chain } = await world.next();
    expect(chain[0].uris).toEqual(["spiffe://11.consul/ns/default/dc/dc1/svc/web"]);
  });
});

describe("a Consul that comes back after an absence", () => {
  it("is asked by all watches again, apart from each other", async () => {
    await using world = await setUp({ stopped: true, service: "service-0" });
    const others = Array.from({ length: 19 }, (_, index) => world.watch({ service: `service-${index + 1}` }));
    await expect
      .poll(() => world.states.at(-1))
      .toMatchObject({
        connected: false,
        error: { code: "ATTACHE_MESH_UNREACHABLE" },
      });
    await world.agent.resume();
    // The next try for the roots is the one sleep. No time passes after it: it would end some of the pauses.
    await world.clock.sleeping(1);
    await world.clock.advance(world.clock.sleeps[0] ?? 0);
    await expect.poll(() => world.clock.sleeps.filter((ms) => ms < 100)).toHaveLength(20);
    expect(new Set(world.clock.sleeps).size).toBe(world.clock.sleeps.length);
    expect(world.agent.issued).toBe(0);
    await world.clock.advance(100);
    await Promise.all([world.next(), ...others.map(({ next }) => next())]);
    expect(world.agent.issued).toBe(20);
  });

  it("is not asked for anything but the roots meanwhile", async () => {
    await using world = await setUp();
    await world.next();
    await world.agent.stop();
    await expect.poll(() => world.states.at(-1)?.connected).toBe(false);
    const before = world.asked(leafPath).length;
    await world.agent.resume();
    world.agent.tamper((answer, { path }) =>
      path === rootsPath ? { status: 500, headers: {}, body: "No cluster leader" } : answer,
    );
    const rootsBefore = world.asked(rootsPath).length;
    await world.pass(() => world.asked(rootsPath).length >= rootsBefore + 3, 500);
    expect(world.asked(leafPath)).toHaveLength(before);
    expect(world.states.at(-1)).toMatchObject({ error: { code: "ATTACHE_MESH_UNAVAILABLE" } });
  });
});

describe("a leaf for which there is never an answer, while the roots come", () => {
  it("ends its watch after a few tries", async () => {
    await using world = await setUp();
    world.agent.tamper((answer, { path }) => (path === leafPath ? undefined : answer));
    expect(await world.end(5000)).toMatchObject({ code: "ATTACHE_MESH_TIMEOUT" });
    expect(world.asked(leafPath)).toHaveLength(3);
  });
});

interface WorldOptions {
  readonly stopped?: boolean;
  readonly service?: string;
}

/** A mesh with one watch; the agent has a clock of its own, so that no answer comes late for the adapter. */
async function setUp({ stopped = false, service = "web" }: WorldOptions = {}) {
  const clock = manualClock();
  const agentClock = manualClock();
  const authority = await createAuthority({ trustDomain: "11.consul", clock });
  const agent = await startDevelopmentAgent({ authority, clock: agentClock, rootChangeJitterMs: 0 });
  if (stopped) await agent.stop();
  const connected = await connectMesh(adapter, agent.settings, { clock, stepMs: 10 });
  const main = connected.watch({ service });
  return {
    ...connected,
    agentClock,
    authority,
    agent,
    ...main,
    asked: (path: string): readonly ApiRequest[] => agent.requests.filter((request) => request.path === path),
    async [Symbol.asyncDispose]() {
      await connected[Symbol.asyncDispose]();
      await agent[Symbol.asyncDispose]();
    },
  };
}

function withField(body: string, name: string, value: unknown): string {
  return JSON.stringify({ ...(JSON.parse(body) as object), [name]: value });
}
