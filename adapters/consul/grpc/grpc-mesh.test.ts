import { status } from "@grpc/grpc-js";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { connectMesh, isOtherThan } from "../../../test/fixtures/connected-mesh.ts";
import { createRoot, unreadablePem } from "../../../test/fixtures/pki.ts";
import {
  type DevelopmentServer,
  type DevelopmentServerOptions,
  Refusal,
  startDevelopmentServer,
} from "../development/server.ts";
import { adapter } from "../index.ts";

const token = "1e7b3c8a-52a6-4f0e-9a3d-6f1c2b4d8e90";
const web = { service: "web" };

describe("an identity of Consul's servers", () => {
  it("has a leaf that they signed for a key of attaché's, and all roots", async () => {
    await using world = await setUp();
    const { key, chain, bundle, renewalTime } = await world.watch(web).next();
    const [leaf] = chain;
    expect(leaf.uris).toEqual(["spiffe://11.consul/ns/default/dc/dc1/svc/web"]);
    expect(leaf.x509().checkPrivateKey(key)).toBe(true);
    expect(bundle).toEqual(world.authority.roots().map(({ certificate }) => certificate));
    expect(renewalTime?.getTime()).toBeGreaterThan(leaf.notBefore.getTime());
  });

  it("is renewed in time, and keeps a current leaf that is good", async () => {
    await using world = await setUp();
    const watched = world.watch(web);
    const current = await watched.next();
    await world.clock.advance((current.renewalTime?.getTime() ?? 0) - world.clock.now().getTime());
    const renewed = await watched.until(isOtherThan(current));
    const resumed = await world.watch(web, { current: renewed }).next();
    expect(resumed.chain).toEqual(renewed.chain);
    expect(world.calls("Sign")).toHaveLength(2);
  });

  it("trusts old and new root, and is signed again when the root changes", async () => {
    await using world = await setUp();
    const watched = world.watch(web);
    const old = await watched.next();
    const active = await world.authority.rotateRoot();
    const united = await watched.next();
    expect(united.chain).toEqual(old.chain);
    expect(united.bundle).toHaveLength(2);
    const { chain, bundle } = await watched.until(isOtherThan(old));
    expect(chain[1]).toEqual(active.intermediates[0]);
    expect(bundle).toHaveLength(2);
  });

  it("has the roots that can be read, and names one that cannot", async () => {
    await using world = await setUp();
    const roots = world.authority.roots();
    const { certificate } = await createRoot();
    vi.spyOn(certificate, "toPem").mockReturnValue(unreadablePem);
    const listed = [{ certificate, active: false, intermediates: [] }, ...roots];
    vi.spyOn(world.authority, "roots").mockReturnValue(listed);
    const { bundle, leftOut } = await world.watch(web).next();
    expect(bundle).toEqual(roots.map(({ certificate }) => certificate));
    expect(leftOut).toMatchObject([{ reason: "UnreadableByEnvoy" }]);
  });

  it("shares one connection and one stream of roots with all others", async () => {
    await using world = await setUp();
    const services = Array.from({ length: 20 }, (_, index) => `service-${index}`);
    const watched = services.map((service) => world.watch({ service }));
    for (const one of watched) await one.next();
    expect(world.server.connections).toBe(1);
    expect(world.calls("WatchRoots")).toHaveLength(1);
    expect(world.calls("Sign")).toHaveLength(20);
  });

  it("is of the datacenter that the servers are of", async () => {
    await using world = await setUp({ server: { datacenter: "eu-1" } });
    const [leaf] = (await world.watch(web).next()).chain;
    expect(leaf.uris).toEqual(["spiffe://11.consul/ns/default/dc/eu-1/svc/web"]);
    await world.watch({ service: "billing" }).next();
    expect(world.calls("Sign")).toHaveLength(3);
  });

  it("is refused with the remedy where another datacenter is configured", async () => {
    await using world = await setUp({ server: { datacenter: "eu-1" }, settings: { datacenter: "eu-2" } });
    expect(await world.watch(web).end()).toMatchObject({
      code: "ATTACHE_MESH_IDENTITY_REFUSED",
      message: expect.stringContaining("from a different datacenter: eu-2, we are eu-1") as string,
      remedy: expect.stringContaining("Correct `datacenter`") as string,
    });
  });

  it("gets the new trust domain of a Consul that was built again", async () => {
    await using world = await setUp();
    const watched = world.watch(web);
    const old = await watched.next();
    await world.server.stop();
    const authority = await createAuthority({ trustDomain: "22.consul", clock: world.clock });
    await using _again = await startDevelopmentServer({ authority, port: world.server.port });
    const { chain } = await watched.until(isOtherThan(old));
    expect(chain[0].uris).toEqual(["spiffe://22.consul/ns/default/dc/dc1/svc/web"]);
  });
});

describe("an identity of Consul Enterprise", () => {
  const inShop = { service: "web", namespace: "shop", partition: "eu" };

  it("is refused by attaché where the servers are the community edition, which would sign it", async () => {
    await using world = await setUp();
    expect(await world.watch(inShop).end()).toMatchObject({
      code: "ATTACHE_MESH_IDENTITY_REFUSED",
      retryable: false,
      message: expect.stringContaining("community edition") as string,
    });
    expect(world.calls("Sign")).toEqual([]);
  });

  it("has its namespace and partition in the SPIFFE ID", async () => {
    await using world = await setUp();
    world.server.name([{ address: "127.0.0.1", version: "1.16.2+ent" }]);
    const [leaf] = (await world.watch(inShop).next()).chain;
    expect(leaf.uris).toEqual(["spiffe://11.consul/ap/eu/ns/shop/dc/dc1/svc/web"]);
  });

  it("is asked for where the servers do not tell what they are", async () => {
    await using world = await setUp();
    world.server.refuse(({ method }) => (method === "WatchServers" ? "never" : undefined));
    const watched = world.watch(inShop);
    await world.pass(() => watched.seen.length > 0, 1000);
  });
});

describe("Consul's limit on signatures", () => {
  it("makes an identity wait, and no more than that", async () => {
    await using world = await setUp();
    let refusals = 2;
    world.server.refuse(({ method }) => (method === "Sign" && refusals-- > 0 ? limited : undefined));
    const watched = world.watch(web);
    await world.pass(() => watched.seen.length > 0, 100);
    expect(world.states).toEqual([{ connected: true }]);
  });

  it("is reported when it stays", async () => {
    await using world = await setUp();
    world.server.refuse(({ method }) => (method === "Sign" ? limited : undefined));
    expect(await world.watch(web).end(1000)).toMatchObject({
      code: "ATTACHE_MESH_RATE_LIMITED",
      remedy: expect.stringContaining("csr_max_per_second") as string,
    });
  });

  const limited = new Refusal(status.RESOURCE_EXHAUSTED, "Rate limit reached, try again later");
});

describe("an identity with a ServiceAccount", () => {
  const identity = { service: "web", serviceAccount: "web" };
  const settings = {
    token,
    serviceAccountLogin: { authMethod: "jwt", audience: "consul" },
  };

  it("is refused where the mesh has no such login", async () => {
    await using world = await setUp();
    expect(await world.watch(identity).end()).toMatchObject({
      code: "ATTACHE_MESH_IDENTITY_REFUSED",
      remedy: expect.stringContaining("serviceAccountLogin") as string,
    });
  });

  it("logs in as that for each signature, with a token made for it, and leaves none behind", async () => {
    await using world = await setUp({ settings });
    world.server.acl.tokens = { [token]: [] };
    world.server.acl.methods.set("jwt", (bearer) => ({ services: [bearer.replace("token of ", "")] }));
    const requests: unknown[] = [];
    const watched = world.watch(identity, {
      serviceAccountToken: ({ signal: _, ...request }) => {
        requests.push(request);
        return Promise.resolve({ token: `token of ${request.serviceAccount}`, expiresAt: new Date(0) });
      },
    });
    const first = await watched.next();
    await world.authority.rotateRoot();
    await watched.until(isOtherThan(first));
    expect(requests).toEqual(
      Array(2).fill({ serviceAccount: "web", audiences: ["consul"], expirationSeconds: 600 }),
    );
    const ways = world.server.calls.filter(({ method }) => ["Login", "Sign", "Logout"].includes(method));
    expect(ways.map(({ method }) => method)).toEqual([
      ...["Login", "Sign", "Logout"],
      ...["Login", "Sign", "Logout"],
    ]);
    expect(ways.every((call) => call.token !== token)).toBe(true);
    expect(world.server.acl.logins).toEqual([]);
  });

  it("leaves no token behind that is not signed with yet when attaché ends", async () => {
    await using world = await setUp({ settings });
    world.server.acl.tokens = { [token]: [] };
    world.server.acl.methods.set("jwt", () => ({ services: ["web"] }));
    world.server.refuse(({ method }) => (method === "Sign" ? "never" : undefined));
    world.watch(identity, { serviceAccountToken: bearer });
    await world.pass(() => world.calls("Sign").length === 1);
    expect(world.server.acl.logins).toHaveLength(1);
    await world.mesh[Symbol.asyncDispose]();
    expect(world.server.acl.logins).toEqual([]);
  });

  it("is reported with a remedy when the binding rule makes another service of it, and logs out", async () => {
    await using world = await setUp({ settings });
    world.server.acl.tokens = { [token]: [] };
    world.server.acl.methods.set("jwt", () => ({ services: ["another"] }));
    expect(await world.watch(identity, { serviceAccountToken: bearer }).end()).toMatchObject({
      code: "ATTACHE_MESH_FORBIDDEN",
      remedy: expect.stringContaining("binding rule of the auth method jwt") as string,
    });
    await world.pass(() => world.server.acl.logins.length === 0);
  });

  it.each([
    ["there is no such auth method", "nope", undefined, "UNAUTHENTICATED", "consul acl auth-method list"],
    ["the token is not accepted", "jwt", undefined, "UNAUTHENTICATED", "BoundAudiences"],
    ["no rule fits", "jwt", { services: [] }, "FORBIDDEN", "binding-rule"],
  ])("is reported with a remedy when %s", async (_what, method, made, code, remedy) => {
    await using world = await setUp({ settings });
    world.server.acl.tokens = { [token]: [] };
    world.server.acl.methods.set(method, () => made);
    const error = await world.watch(identity, { serviceAccountToken: bearer }).end();
    expect(error).toMatchObject({
      code: `ATTACHE_MESH_${code}`,
      remedy: expect.stringContaining(remedy) as string,
    });
  });

  const bearer = () => Promise.resolve({ token: "bearer", expiresAt: new Date(0) });
});

describe("a mesh that logs in", () => {
  it("does so once for all, and gives the token back at its end", async () => {
    await using world = await logsIn();
    await Promise.all([world.watch(web).next(), world.watch({ service: "billing" }).next()]);
    expect(world.calls("Login")).toHaveLength(1);
    expect(world.server.acl.logins).toHaveLength(1);
    await world.mesh[Symbol.asyncDispose]();
    expect(world.server.acl.logins).toEqual([]);
  });

  it("gives the token back before the servers have sent their roots", async () => {
    await using world = await logsIn();
    world.server.refuse(({ method }) => (method === "WatchRoots" ? "never" : undefined));
    world.watch(web);
    await world.pass(() => world.calls("WatchRoots").length > 0);
    expect(world.server.acl.logins).toHaveLength(1);
    await world.mesh[Symbol.asyncDispose]();
    expect(world.server.acl.logins).toEqual([]);
  });

  it("gives the token of a check back, for which there was no other connection", async () => {
    await using world = await logsIn();
    expect((await world.mesh.check()).map(({ status }) => status)).not.toContain("failed");
    expect(world.server.acl.logins).toHaveLength(1);
    await world.mesh[Symbol.asyncDispose]();
    expect(world.server.acl.logins).toEqual([]);
  });

  it("is well to a check that finds its token expired, and asks with another one", async () => {
    await using world = await logsIn();
    await world.watch(web).next();
    await world.clock.advance(30_000);
    world.server.acl.tokens = {};
    let checks: Awaited<ReturnType<typeof world.mesh.check>> | undefined;
    void world.mesh.check().then((all) => (checks = all));
    // The servers do not tell their versions by that token.
    await world.pass(() => checks !== undefined);
    expect(checks?.filter(({ status }) => status === "failed")).toEqual([]);
  });

  it("waits 3 s at its end for a server that hangs, and no longer", async () => {
    await using world = await logsIn();
    await world.watch(web).next();
    world.server.refuse(({ method }) => (method === "Logout" ? "never" : undefined));
    const ended = world.mesh[Symbol.asyncDispose]();
    await world.clock.advance(3_000);
    await ended;
  });

  it("logs in again when its token has expired, without a report", async () => {
    await using world = await logsIn();
    const watched = world.watch(web);
    const first = await watched.next();
    await world.clock.advance(30_000);
    // As when its time is over: Consul asks the streams for their tokens again.
    world.server.acl.tokens = {};
    world.server.refuse(() => undefined);
    world.server.endStreams(new Refusal(status.UNAUTHENTICATED, "ACL not found"));
    await world.pass(() => world.calls("Login").length === 2);
    await world.authority.rotateRoot();
    await watched.until(isOtherThan(first));
    expect(world.states).toEqual([{ connected: true }]);
  });

  it("does not take a token for gone that a server may not know yet", async () => {
    await using world = await logsIn();
    let isBehind = true;
    const unknown = new Refusal(status.UNAUTHENTICATED, "ACL not found");
    world.server.refuse(({ method }) => (isBehind && method === "WatchRoots" ? unknown : undefined));
    const watched = world.watch(web);
    await world.pass(() => world.states.length > 2, 500);
    isBehind = false;
    await watched.next();
    expect(world.calls("Login")).toHaveLength(1);
  });

  async function logsIn() {
    const folder = await mkdtemp(join(tmpdir(), "attache-login-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const bearerTokenFile = join(folder, "token");
    await writeFile(bearerTokenFile, "token-of-the-pod\n");
    const world = await setUp({ settings: { login: { authMethod: "jwt", bearerTokenFile } } });
    world.server.acl.tokens = {};
    world.server.acl.methods.set("jwt", (bearer) =>
      bearer === "token-of-the-pod" ? { services: ["web", "billing"] } : undefined,
    );
    return world;
  }
});

interface WorldOptions {
  readonly server?: Partial<DevelopmentServerOptions>;
  readonly settings?: object;
}

async function setUp({ server: options, settings }: WorldOptions = {}) {
  const clock = manualClock();
  // After a change of roots a leaf is replaced within a tenth of its life.
  const authority = await createAuthority({ trustDomain: "11.consul", clock, leafLifetimeMs: 60_000 });
  const server = await startDevelopmentServer({ authority, ...options });
  const watched = await connectMesh(adapter, { ...server.settings, ...settings }, { clock });
  return {
    ...watched,
    authority,
    server,
    calls: (method: string) => callsOf(server, method),
    async [Symbol.asyncDispose]() {
      await watched[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

function callsOf({ calls }: DevelopmentServer, method: string) {
  return calls.filter((call) => call.method === method);
}
