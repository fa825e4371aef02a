import { createPrivateKey, generateKeyPairSync, sign } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { createToken } from "./acl.ts";
import { type ConsulAgent, startConsul } from "./agent.ts";
import { loginTokens } from "./auth-methods.ts";
import { watch } from "./watch.ts";

/**
 * The shortest that Consul 1.16 takes, for tokens and for logins (agent/consul/config.go,
 * ACLTokenMinExpirationTTL).
 */
const shortest = "1m";

let folder: string;
let consul: ConsulAgent;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-consul-"));
  consul = await startConsul({ folder, acl: true });
});

afterAll(async () => {
  await consul[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const grpc = (more: object) => ({
  mode: "grpc",
  addresses: [`http://127.0.0.1:${consul.grpcPort}`],
  ...more,
});
const http = (more: object) => ({ mode: "http", address: consul.address, ...more });

// They wait for the same minute.
describe.concurrent("a minute after it was made on a real Consul", () => {
  it("a token with an expiry ends a connection, is reported by the checks, and another one is taken by itself", async ({
    expect,
  }) => {
    const tokenFile = join(folder, "token");
    const token = await createToken(consul, "write", ["edge", "late"], { ExpirationTTL: shortest });
    await writeFile(tokenFile, token);
    await using edge = await watch(grpc({ tokenFile }), "edge");
    await edge.next();
    const has = (isConnected: boolean) => () => edge.states.at(-1)?.connected === isConnected;
    await expect.poll(has(false), { timeout: 80_000, interval: 100 }).toBe(true);
    const expired = {
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      remedy: expect.stringContaining("has expired") as string,
    };
    expect(edge.states.at(-1)).toMatchObject({ error: expired });

    // Another service: an agent gives a leaf that it keeps to each caller.
    await using late = await watch(http({ tokenFile }), "late");
    await expect(late.next()).rejects.toMatchObject(expired);
    for (const one of [edge, late]) {
      expect((await one.check()).find(({ name }) => name === "ACL token")).toMatchObject({
        status: "failed",
        remedy: expired.remedy,
      });
    }

    await writeFile(tokenFile, await createToken(consul, "write", ["edge"]));
    await expect.poll(has(true), { timeout: 60_000, interval: 100 }).toBe(true);
    expect(JSON.stringify(edge.states)).not.toContain(token);
  });

  it.for([
    ["gRPC", grpc],
    ["HTTP", http],
  ] as const)(
    "the token of a login is followed by that of another one over %s, without a word",
    async ([name, settings], { expect }) => {
      const { bearerTokenFile, authMethod } = await addJwtMethod(name);
      const login = { authMethod, bearerTokenFile };
      await using edge = await watch(settings({ login }), "edge");
      await edge.next();
      const [first = ""] = await loginTokens(consul, authMethod);
      const isThere = async () => (await loginTokens(consul, authMethod)).includes(first);
      expect(await isThere()).toBe(true);
      await expect.poll(isThere, { timeout: 80_000, interval: 500 }).toBe(false);
      // Over HTTP nothing but a question notices, and there the checks ask first.
      expect((await edge.check()).filter(({ status }) => status === "failed")).toEqual([]);
      expect(await loginTokens(consul, authMethod)).toHaveLength(1);
      expect(edge.states).toEqual([{ connected: true }]);
    },
  );
});

/** An auth method that knows a key of this test, and a file with a token that is good for it. */
async function addJwtMethod(name: string) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const authMethod = `jwt-${name}`;
  await consul.call("PUT", "/acl/auth-method", {
    Name: authMethod,
    Type: "jwt",
    MaxTokenTTL: shortest,
    Config: { JWTValidationPubKeys: [publicKey], BoundIssuer: "test", BoundAudiences: ["consul"] },
  });
  await consul.call("PUT", "/acl/binding-rule", {
    AuthMethod: authMethod,
    BindType: "service",
    BindName: "edge",
  });
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: "test", aud: "consul", sub: "edge", iat: now, exp: now + 600 };
  const text = [{ alg: "ES256", typ: "JWT" }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  const key = { key: createPrivateKey(privateKey), dsaEncoding: "ieee-p1363" } as const;
  const bearerTokenFile = join(folder, authMethod);
  await writeFile(bearerTokenFile, `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`);
  return { authMethod, bearerTokenFile };
}
