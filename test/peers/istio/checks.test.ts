import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Check, Credential, Mesh, WatchOptions } from "../../../src/mesh/adapter.ts";
import { createRoot } from "../../fixtures/pki.ts";
import type { IstioIdentity } from "../../../adapters/istio/definition.ts";
import { type Agent, startAgent } from "./agent.ts";
import { type Bearer, mayMint, mayReadRoots, namespace, prepareBearer } from "./bearer.ts";
import { type Istiod, startIstiod } from "./istiod.ts";
import { connect, firstOf } from "./mesh.ts";
import { createCa, rootsPem } from "./plugged-ca.ts";

/** Where this istiod writes its roots, in place of a ConfigMap. */
const clusterTrustBundle = "istio.io:istiod-ca:root-cert";

let folder: string;
let roots: string;
let strangers: string;
let istiod: Istiod;
let bearer: Bearer;
let agent: Agent;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-istio-"));
  strangers = join(folder, "strangers.pem");
  await writeFile(strangers, (await createRoot()).pem);
  roots = join(folder, "roots.pem");
  istiod = await startIstiod({
    env: { MAX_WORKLOAD_CERT_TTL: "1h", ENABLE_CLUSTER_TRUST_BUNDLE_API: "true" },
  });
  await writeFile(roots, rootsPem(istiod.cas));
  bearer = await prepareBearer(istiod.cluster);
  // It renews after two seconds what is good for a minute.
  const env = { SECRET_GRACE_PERIOD_RATIO: "0.967", ECC_SIGNATURE_ALGORITHM: "ECDSA" };
  agent = await startAgent(istiod, { ...own, env });
});

afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  await istiod[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** Settings that differ from those that are all right by `change`. */
function viaIstiod(change: object = {}): object {
  return { mode: "istiod", address: `127.0.0.1:${istiod.port}`, roots: { clusterTrustBundle }, ...change };
}

describe("the checks of a real istiod", () => {
  it.each([
    ["roots in a ClusterTrustBundle", () => ({ roots: { clusterTrustBundle } })],
    ["roots in a file", () => ({ roots: { file: roots } })],
  ])("are all well, with %s", async (_, settings) => {
    expect(await problems(viaIstiod(settings()))).toEqual([]);
  });

  it.each<[what: string, settings: () => object, name: RegExp, remedy: RegExp]>([
    ["roots that are another's", () => ({ roots: { file: strangers } }), /^TLS/, /those of this istiod/],
    ["no file with roots", () => ({ roots: { file: "/nowhere" } }), /^roots/, /`roots\.file`/],
    [
      "a ConfigMap that istiod does not write",
      () => ({ roots: {} }),
      /^roots/,
      /`roots\.clusterTrustBundle`/,
    ],
    ["a ConfigMap that attaché may not read", () => ({ roots: { configMap: "mine" } }), /^roots/, /\[mine\]/],
    ["no such bundle", () => ({ roots: { clusterTrustBundle: "none" } }), /^roots/, /Check its name/],
    ["a wrong name", () => ({ serverName: "istiod-canary" }), /^TLS/, /but for .*istiod\.istio-system\.svc/],
    ["the port for plain text", () => ({ address: `127.0.0.1:${istiod.plainPort}` }), /^TLS/, /use 15012/],
    ["the port of the webhooks", () => ({ address: `127.0.0.1:${istiod.webhookPort}` }), /^CA/, /15012/],
    ["a port without a server", () => ({ address: "127.0.0.1:1" }), /^TLS/, /that istiod runs/],
    ["a host that is none", () => ({ address: "istiod.invalid:15012" }), /^TLS/, /the DNS/],
  ])("report %s", async (_, settings, name, remedy) => {
    const [first] = await problems(viaIstiod(settings()));
    expect(first).toMatchObject({ name: expect.stringMatching(name) as string, status: "failed" });
    expect(first?.remedy).toMatch(remedy);
  });
});

describe("an identity that a real istiod or its cluster does not give ends with what to do:", () => {
  it.each<[what: string, change: object, error: object]>([
    ["another audience than istiod wants", { audience: "another" }, unauthenticated(/`audience`/)],
    ["a cluster that istiod does not know", { clusterId: "elsewhere" }, unauthenticated(/`clusterId`/)],
    [
      "a longer life than istiod allows",
      { ttl: "24h" },
      {
        code: "ATTACHE_MESH_FORBIDDEN",
        problem: expect.stringContaining("greater than the max allowed TTL 1h0m0s") as string,
        remedy: expect.stringContaining("lower `ttl`") as string,
      },
    ],
  ])("%s", async (_, change, error) => {
    await expect(first(viaIstiod(change))).rejects.toMatchObject(error);
  });

  it.each<[what: string, token: (good: string) => Promise<string> | string]>([
    ["a token that has expired", (good) => istiod.cluster.resign(good, anHourAgo())],
    ["a token that the cluster has not signed", (good) => `${good.slice(0, -8)}AAAAAAAA`],
    ["what is no token", () => "nonsense"],
  ])("%s", async (_, token) => {
    const mint: typeof bearer.mint = async (request) => {
      const minted = await bearer.mint(request);
      return { ...minted, token: await token(minted.token) };
    };
    await expect(first(viaIstiod(), { mint })).rejects.toMatchObject(unauthenticated(/log says why/));
  });

  it("but not for a token whose signature was made here", async () => {
    const mint: typeof bearer.mint = async (request) => {
      const minted = await bearer.mint(request);
      return { ...minted, token: await istiod.cluster.resign(minted.token, {}) };
    };
    expect((await first(viaIstiod(), { mint })).chain[0].uris).toEqual([edge]);
  });

  it("no permission for tokens of the ServiceAccount", async () => {
    await bearer.may(mayReadRoots);
    await expect(first(viaIstiod())).rejects.toMatchObject({
      code: "ATTACHE_MESH_TOKEN",
      problem: expect.stringContaining(
        `may not create serviceaccounts/token in namespace ${namespace}`,
      ) as string,
      remedy: expect.stringContaining("resourceNames [edge]") as string,
    });
    await bearer.may(mayReadRoots, mayMint);
  });

  it("another trust domain", async () => {
    await expect(first(viaIstiod(), { trustDomain: "mesh.example" })).rejects.toMatchObject({
      code: "ATTACHE_MESH_IDENTITY_REFUSED",
      remedy: expect.stringContaining("`trustDomain: cluster.local`") as string,
    });
  });

  it("and goes on with a new token after the ServiceAccount was created again", async () => {
    await using mesh = await connected(viaIstiod());
    const tokens: string[] = [];
    const mint: typeof bearer.mint = async (request) => {
      const minted = await bearer.mint(request);
      tokens.push(minted.token);
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
      if (tokens.length > 1) return minted;
      await istiod.cluster.admin.delete(`${path}/edge`);
      await istiod.cluster.admin.create(path, { metadata: { name: "edge" } });
      return minted;
    };
    await expect(next(mesh, { mint })).rejects.toMatchObject(unauthenticated(/log says why/));
    expect((await next(mesh, { mint })).chain[0].uris).toEqual([edge]);
    expect(tokens).toHaveLength(2);
  });
});

describe("a key that a real agent makes is taken", () => {
  it.each([
    ["RSA, PKCS#1", "rsa", {}],
    ["RSA, PKCS#8", "rsa", { PKCS8_KEY: "true" }],
    ["EC, PKCS#8", "ec", { PKCS8_KEY: "true", ECC_SIGNATURE_ALGORITHM: "ECDSA" }],
  ])("as %s", async (_, type, env) => {
    await using other = await startAgent(istiod, { ...own, env });
    for (const settings of [{ socket: other.socket }, { mode: "files", directory: other.outputCerts }]) {
      expect((await first(settings, { identity: {} })).key.asymmetricKeyType).toBe(type);
    }
  });
});

describe("what is wrong with a real agent is reported with a remedy:", () => {
  it("nothing", async () => {
    expect(await problems({ socket: agent.socket })).toEqual([]);
    expect(await problems({ mode: "files", directory: agent.outputCerts })).toEqual([]);
  });

  it.each([
    ["sds", () => ({ socket: agent.socket })],
    ["files", () => ({ mode: "files", directory: agent.outputCerts })],
  ])("the identity of another ServiceAccount, in mode %s", async (_, settings) => {
    const identity = { serviceAccount: "edge" };
    await expect(first(settings(), { identity })).rejects.toMatchObject({
      code: "ATTACHE_MESH_IDENTITY_REFUSED",
      problem: `the agent gives the identity of attaché's own pod, spiffe://cluster.local/ns/${namespace}/sa/attache, and not that of the ServiceAccount ${namespace}/edge`,
      remedy: expect.stringContaining("`mode: istiod`") as string,
    });
  });

  it("no socket, and no files", async () => {
    expect(await problems({ socket: join(folder, "none") })).toMatchObject([
      { name: "agent socket", remedy: expect.stringContaining("workload-socket") as string },
    ]);
    expect(await problems({ mode: "files", directory: join(folder, "none") })).toMatchObject([
      { name: "files", remedy: expect.stringContaining("OUTPUT_CERTS") as string },
    ]);
  });

  it("a private key that it leaves to an accelerator", async () => {
    const privateKeyProvider = { cryptomb: { pollDelay: "0.01s" } };
    await using other = await startAgent(istiod, { ...own, proxyConfig: { privateKeyProvider } });
    expect(await problems({ socket: other.socket })).toMatchObject([
      {
        name: "secrets",
        message: 'the agent keeps the private key to itself (private key provider "cryptomb")',
        remedy: expect.stringContaining("switch the private key provider off") as string,
      },
    ]);
  });

  it("a token that istiod does not accept", async () => {
    await agent.mountToken("nonsense");
    await secretsFail(/^istiod does not accept the agent's token/, /volume istio-token/);
    await agent.mountToken();
    await recovered();
  });

  it("an istiod that is away", async () => {
    await istiod.stop();
    await secretsFail(/^the agent does not reach istiod/, /15012/);
  });

  it("an istiod that has another root", async () => {
    await istiod.plug(await createCa("another"));
    await istiod.start();
    await secretsFail(/^the agent does not trust istiod/, /istio-ca-root-cert/);
    await agent.mountRoots();
    await recovered();
  });
});

const own = { namespace, serviceAccount: "attache", secretTtl: "1m" };
const edge = `spiffe://cluster.local/ns/${namespace}/sa/edge`;

function anHourAgo(): object {
  const now = Math.floor(Date.now() / 1000);
  return { iat: now - 7_200, nbf: now - 7_200, exp: now - 3_600 };
}

function unauthenticated(remedy: RegExp): object {
  return {
    code: "ATTACHE_MESH_UNAUTHENTICATED",
    problem:
      "istiod does not accept the token of the ServiceAccount (UNAUTHENTICATED): request authenticate failure",
    remedy: expect.stringMatching(remedy) as string,
  };
}

const slow = { timeout: 30_000, interval: 500 };

/** Once the agent has lost the certificate that it had. */
async function secretsFail(message: RegExp, remedy: RegExp): Promise<void> {
  await expect
    .poll(() => problems({ socket: agent.socket }), slow)
    .toEqual([
      {
        name: "secrets",
        status: "failed",
        message: expect.stringMatching(message) as string,
        remedy: expect.stringMatching(remedy) as string,
      },
    ]);
}

async function recovered(): Promise<void> {
  await expect.poll(() => problems({ socket: agent.socket }), slow).toEqual([]);
}

async function problems(settings: object): Promise<Check[]> {
  await using mesh = await connected(settings);
  const checks = await mesh.check();
  return checks.filter(({ status }) => status !== "ok");
}

interface Wanted {
  readonly identity?: IstioIdentity;
  readonly mint?: WatchOptions["serviceAccountToken"];
  readonly trustDomain?: string;
}

/** The first credential of an identity, by default of the ServiceAccount `edge`. */
async function first(settings: object, { trustDomain, ...wanted }: Wanted = {}): Promise<Credential> {
  await using mesh = await connected(settings, trustDomain);
  return await next(mesh, wanted);
}

async function next(
  mesh: Mesh<IstioIdentity>,
  { identity = { serviceAccount: "edge" }, mint = bearer.mint }: Wanted = {},
): Promise<Credential> {
  try {
    return await firstOf(mesh, identity, { serviceAccountToken: mint });
  } catch (error) {
    for (const token of bearer.tokens) expect(JSON.stringify(error) + String(error)).not.toContain(token);
    throw error;
  }
}

function connected(settings: object, trustDomain?: string): Promise<Mesh<IstioIdentity>> {
  return connect(settings, { cluster: bearer.cluster, ...(trustDomain !== undefined && { trustDomain }) });
}
