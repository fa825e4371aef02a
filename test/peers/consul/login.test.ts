import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WatchOptions } from "../../../src/mesh/adapter.ts";
import { type Cluster, cluster as sharedCluster } from "../kubernetes/cluster.ts";
import { addJwtMethod, addKubernetesMethod, audience, loginTokens } from "./auth-methods.ts";
import { type ConsulAgent, startConsul } from "./agent.ts";
import { serverName, type TlsFiles, writeTlsFiles } from "./tls-files.ts";
import { watch } from "./watch.ts";

let folder: string;
let cluster: Cluster;
let namespace: string;
let consul: ConsulAgent;
let client: TlsFiles;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-login-"));
  const files = await writeTlsFiles(folder);
  client = files.client;
  cluster = await sharedCluster();
  namespace = await cluster.namespace();
  for (const name of ["attache", "edge"]) await cluster.serviceAccount(namespace, name, []);
  consul = await startConsul({ folder, acl: true, tls: { ...files.server, verifyIncoming: false } });
  await addJwtMethod(consul, cluster, namespace);
  await addKubernetesMethod(consul, cluster, namespace);
});

afterAll(async () => {
  await consul[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** As attaché's store has one minted, with a TokenRequest. */
const serviceAccountToken: WatchOptions["serviceAccountToken"] = async (request) => {
  const { serviceAccount, audiences, expirationSeconds } = request;
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`;
  const { status } = await cluster.admin.create<{ status: { token: string; expirationTimestamp: string } }>(
    path,
    {
      spec: { ...(audiences.length > 0 && { audiences }), expirationSeconds },
    },
  );
  return { token: status.token, expiresAt: new Date(status.expirationTimestamp) };
};

/** A file as a projected volume has it. */
async function podToken(audiences: readonly string[]): Promise<string> {
  const { token } = await serviceAccountToken({
    serviceAccount: "attache",
    audiences,
    expirationSeconds: 600,
    signal: new AbortController().signal,
  });
  const file = join(folder, `pod-token-${audiences.join()}`);
  await writeFile(file, token);
  return file;
}

const grpc = () => ({
  mode: "grpc",
  addresses: [`127.0.0.1:${consul.grpcTlsPort}`],
  tls: { caFile: client.caFile, serverName },
});

const http = () => ({
  mode: "http",
  address: `https://127.0.0.1:${consul.httpsPort}`,
  tls: { caFile: client.caFile, serverName },
});

describe.each([
  ["jwt", [audience], { audience }],
  ["kubernetes", [], {}],
] as const)("a real auth method of type %s", (authMethod, audiences, ofMethod) => {
  it.each(["grpc", "http"])("gives attaché a token over %s, which it gives back at its end", async (mode) => {
    const settings = mode === "grpc" ? grpc() : http();
    const login = { authMethod, bearerTokenFile: await podToken(audiences) };
    {
      await using attache = await watch({ ...settings, login }, "attache");
      const { chain } = await attache.next();
      expect(chain[0].uris[0]).toMatch(/\/svc\/attache$/);
      expect(await loginTokens(consul)).toHaveLength(1);
    }
    expect(await loginTokens(consul)).toEqual([]);
  });

  it("lets an identity be signed as its ServiceAccount, and no token of attaché's sign for it", async () => {
    const login = { authMethod, bearerTokenFile: await podToken(audiences) };
    const settings = { ...grpc(), login, serviceAccountLogin: { authMethod, ...ofMethod } };
    const identity = { service: "edge", serviceAccount: "edge" };
    await using edge = await watch(settings, identity, {}, { serviceAccountToken });
    const { chain } = await edge.next();
    expect(chain[0].uris[0]).toMatch(/\/svc\/edge$/);
    // What is left is attaché's own, which is good for nothing but its own service.
    expect(await loginTokens(consul)).toHaveLength(1);

    await using itself = await watch(settings, "edge");
    await expect(itself.next()).rejects.toMatchObject({ code: "ATTACHE_MESH_FORBIDDEN" });
    await using another = await watch(
      settings,
      { ...identity, service: "another" },
      {},
      { serviceAccountToken },
    );
    await expect(another.next()).rejects.toMatchObject({
      code: "ATTACHE_MESH_FORBIDDEN",
      remedy: expect.stringContaining("another service of the ServiceAccount edge") as string,
    });
  });

  it("tells what to do about a token of the wrong audience, of a wrong namespace, or that is none", async () => {
    const outcome = async (bearerTokenFile: string) => {
      await using attache = await watch({ ...grpc(), login: { authMethod, bearerTokenFile } }, "attache");
      const checks = await attache.check();
      return checks.find(({ name }) => name === "ACL token");
    };
    expect(await outcome(await podToken(["another"]))).toMatchObject({
      status: "failed",
      remedy: expect.stringContaining("audience and issuer") as string,
    });
    const elsewhere = await cluster.namespace();
    const { token } = await cluster.serviceAccount(elsewhere, "attache", []);
    const file = join(folder, "elsewhere");
    const path = `/api/v1/namespaces/${elsewhere}/serviceaccounts/attache/token`;
    const { status } = await cluster.admin.create<{ status: { token: string } }>(path, {
      spec: { audiences, expirationSeconds: 600 },
    });
    await writeFile(file, audiences.length > 0 ? status.token : await token());
    expect(await outcome(file)).toMatchObject({
      status: "failed",
      remedy: expect.stringContaining("consul acl binding-rule list") as string,
    });
    await writeFile(file, "a.b.c");
    expect(await outcome(file)).toMatchObject({
      status: "failed",
      message: expect.not.stringContaining("a.b.c") as string,
    });
  });
});
