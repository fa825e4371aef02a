import { ServerCredentials, status } from "@grpc/grpc-js";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Check, systemClock } from "../../../src/mesh/adapter.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { createLeaf, createRoot } from "../../../test/fixtures/pki.ts";
import { watchOptions } from "../../../test/fixtures/watch-options.ts";
import { Refusal, startDevelopmentServer } from "../development/server.ts";
import { adapter } from "../index.ts";

const token = "1e7b3c8a-52a6-4f0e-9a3d-6f1c2b4d8e90";

describe("the checks of Consul's servers", () => {
  it("are all well when they are", async () => {
    await using server = await start();
    server.acl.tokens = { [token]: ["web"] };
    expect(await check({ ...server.settings, token })).toEqual([
      { name: `server 127.0.0.1:${server.port}`, status: "ok", message: "answers" },
      { name: "transport", status: "ok", message: "plain text that stays on this machine" },
      { name: "ACL token", status: "ok", message: "accepted" },
      { name: "CA", status: "ok", message: "trust domain 11.consul, 1 roots" },
      { name: "version", status: "ok", message: "Consul 1.16.2" },
    ]);
  });

  it("warn of a server that is older than what attaché is made for", async () => {
    await using server = await start();
    server.name([
      { address: "127.0.0.1", version: "1.16.2" },
      { address: "127.0.0.2", version: "1.13.9" },
    ]);
    expect(await check(server.settings, "version")).toMatchObject({
      status: "warning",
      message: "Consul 1.16.2, 1.13.9, older than what attaché is made for, 1.14 or later",
    });
  });

  it("are well without a token where none is asked for", async () => {
    await using server = await start();
    expect(await check(server.settings, "ACL token")).toMatchObject({ message: "this Consul asks for none" });
  });

  it.each([
    ["is missing", {}, "attaché has none", "`tokenFile`"],
    ["is unknown", { token }, "does not know the ACL token", "the token was deleted"],
    ["cannot be read", { tokenFile: "/nonexistent/token" }, "/nonexistent/token cannot be read", "SecretID"],
  ])("report a token that %s, and never show it", async (_what, settings, message, remedy) => {
    await using server = await start();
    server.acl.tokens = {};
    const checks = await check({ ...server.settings, ...settings });
    expect(checks.at(-1)).toMatchObject({
      name: "ACL token",
      status: "failed",
      message: containing(message),
      remedy: containing(remedy),
    });
    expect(JSON.stringify(checks)).not.toContain(token);
  });

  it("tell whether each identity would be signed, and sign nothing", async () => {
    await using server = await start();
    server.acl.tokens = { [token]: ["web"] };
    const checks = await check({ ...server.settings, token }, undefined, ["web", "billing"]);
    expect(checks.slice(-3)).toMatchObject([
      { name: "permission for web", status: "ok", message: "service:write" },
      {
        name: "permission for billing",
        status: "failed",
        message: containing(`'service:write' on "billing"`),
        remedy: containing('policy = "write"'),
      },
      { name: "datacenter", status: "ok", message: "dc1" },
    ]);
  });

  it("warn of servers of another datacenter than is configured", async () => {
    await using server = await start();
    const checks = await check({ ...server.settings, datacenter: "dc2" }, undefined, ["web"]);
    expect(checks.at(-1)).toMatchObject({
      status: "warning",
      message: "these servers are of dc1, and dc2 is configured",
    });
  });

  it("report a CA that is not ready, and of what is no server", async () => {
    await using server = await start();
    server.refuse(() => new Refusal(status.FAILED_PRECONDITION, "Connect CA is not yet initialized"));
    expect(await check(server.settings, "CA")).toMatchObject({
      status: "failed",
      remedy: containing("connect ca get-config"),
    });
    server.refuse(() => new Refusal(status.UNIMPLEMENTED, "unknown service"));
    expect(await check(server.settings, "CA")).toMatchObject({
      status: "failed",
      remedy: containing("client agents"),
    });
  });

  it.each([
    ["Consul CA Primary Cert", 0, "ok", /agrees with that of the servers/],
    ["Consul CA Primary Cert", 40_000, "warning", /is (39|40) s behind the servers/],
    ["Consul CA Primary Cert", -90_000, "warning", /is 9[01] s ahead of the servers/],
    ["Vault CA Primary Cert", -90_000, "ok", /agrees with that of the servers/],
    ["Vault CA Primary Cert", 100_000, "warning", /is (39|40) s behind the servers/],
  ])("tell by a leaf of %s that the servers' clock shows %i ms more", async (caName, ms, level, message) => {
    const authority = await createAuthority({
      trustDomain: "11.consul",
      clock: manualClock(new Date(Date.now() + ms)),
    });
    await using server = await startDevelopmentServer({ authority, caName });
    expect(await check(server.settings, "clock", ["web"], { isSigned: true })).toMatchObject({
      status: level,
      message: expect.stringMatching(message) as string,
    });
  });

  it("warn of a token that crosses a network in plain text", async () => {
    await using server = await start();
    // All addresses of this machine: to the system itself, but not to the adapter.
    const addresses = server.settings.addresses.map((address) => address.replace("127.0.0.1", "0.0.0.0"));
    expect(await check({ addresses }, "transport")).toMatchObject({
      status: "warning",
      remedy: containing("8503"),
    });
  });

  it("report which of the servers is unreachable, and go on with another", async () => {
    await using server = await start();
    const away = await start();
    await away[Symbol.asyncDispose]();
    const addresses = [...away.settings.addresses, ...server.settings.addresses];
    expect(await check({ addresses }, `server 127.0.0.1:${away.port}`)).toMatchObject({
      status: "failed",
      message: `127.0.0.1:${away.port} cannot be reached (ECONNREFUSED)`,
      remedy: containing("port of its gRPC API"),
    });
    expect(await check({ addresses }, "CA")).toMatchObject({ status: "ok" });
  });

  it("report a name that does not resolve", async () => {
    expect(await check({ addresses: ["nonexistent.invalid"] })).toMatchObject([
      { name: "servers", status: "failed", message: containing("nonexistent.invalid does not resolve") },
    ]);
  });

  it("report a port of plain text that speaks HTTP, TLS, or nothing", async () => {
    const http = await listening(createHttpServer((_, response) => response.end("<html>")));
    expect(await check({ addresses: [`http://127.0.0.1:${http.port}`] }, http.name)).toMatchObject({
      status: "failed",
      remedy: containing("8502"),
    });
    const silent = await listening(createTcpServer());
    expect(
      await check({ addresses: [`http://127.0.0.1:${silent.port}`] }, silent.name, [], { isSlow: true }),
    ).toMatchObject({ status: "failed", message: `127.0.0.1:${silent.port} says nothing for 5 s` });
    for (const { server } of [http, silent]) server.close();
  });
});

describe("the checks of Consul's servers over TLS", () => {
  const serverName = "server.dc1.consul";
  let folder: string;
  let caFile: string;
  let stranger: string;
  let clientFiles: { certFile: string; keyFile: string };
  let security: (options?: { expired?: boolean; wantsClient?: boolean }) => ServerCredentials;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "attache-tls-"));
    const root = await createRoot();
    const leaf = await createLeaf(root, { uris: [], dns: [serverName] });
    const old = await createLeaf(root, { uris: [], dns: [serverName], notAfter: new Date("2021-01-01Z") });
    const client = await createLeaf(root, { uris: [], dns: ["attache"] });
    const write = async (name: string, text: string) => {
      await writeFile(join(folder, name), text);
      return join(folder, name);
    };
    caFile = await write("ca", root.pem);
    stranger = await write("stranger", (await createRoot()).pem);
    clientFiles = { certFile: await write("cert", client.pem), keyFile: await write("key", client.keyPem) };
    security = ({ expired = false, wantsClient = false } = {}) => {
      const { keyPem, pem } = expired ? old : leaf;
      const pair = { private_key: Buffer.from(keyPem), cert_chain: Buffer.from(pem) };
      return ServerCredentials.createSsl(Buffer.from(root.pem), [pair], wantsClient);
    };
  });

  afterAll(() => rm(folder, { recursive: true }));

  it("are all well with Consul's CA, its name, and the client certificate that it wants", async () => {
    await using server = await start(security({ wantsClient: true }));
    const checks = await check({ ...server.settings, tls: { caFile, serverName, ...clientFiles } });
    expect(checks.filter((one) => one.status !== "ok")).toEqual([]);
    expect(checks[1]).toMatchObject({ name: "transport", message: "TLS" });
  });

  it("warn where any certificate is taken", async () => {
    await using server = await start(security());
    expect(await check({ ...server.settings, tls: { insecureSkipVerify: true } }, "transport")).toMatchObject(
      { status: "warning", remedy: containing("tls.caFile") },
    );
  });

  it.each([
    ["another CA", {}, () => ({ caFile: stranger, serverName }), "`tls.caFile`"],
    ["another name", {}, () => ({ caFile, serverName: "other.consul" }), "`tls.serverName`"],
    ["no name, for an IP address", {}, () => ({ caFile }), "`tls.serverName`"],
    ["a certificate that has expired", { expired: true }, () => ({ caFile, serverName }), "Renew"],
    ["no client certificate", { wantsClient: true }, () => ({ caFile, serverName }), "`tls.certFile`"],
  ])("report %s", async (_what, options, tls, remedy) => {
    await using server = await start(security(options));
    const [first] = await check({ ...server.settings, tls: tls() });
    expect(first).toMatchObject({
      status: "failed",
      message: containing("the TLS handshake"),
      remedy: containing(remedy),
    });
  });

  it("report plain text where TLS is wanted, and the other way round", async () => {
    await using encrypted = await start(security());
    const plain = [`http://127.0.0.1:${encrypted.port}`];
    expect((await check({ addresses: plain }))[0]).toMatchObject({ remedy: containing("Leave http:// out") });
    await using open = await start();
    expect((await check({ addresses: [`127.0.0.1:${open.port}`] }))[0]).toMatchObject({
      remedy: containing("http://"),
    });
  });
});

async function start(security?: ServerCredentials) {
  const authority = await createAuthority({ trustDomain: "11.consul", clock: systemClock });
  return startDevelopmentServer({ authority, ...(security && { security }) });
}

async function listening(server: Server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { server, port, name: `server 127.0.0.1:${port}` };
}

/** All checks; the one of a name. */
async function check(settings: object): Promise<Check[]>;
async function check(settings: object, name: undefined, services: readonly string[]): Promise<Check[]>;
async function check(
  settings: object,
  name: string,
  services?: readonly string[],
  options?: { readonly isSlow?: boolean; readonly isSigned?: boolean },
): Promise<Check | undefined>;
async function check(
  settings: object,
  name?: string,
  services: readonly string[] = [],
  { isSlow = false, isSigned = false } = {},
) {
  const manual = manualClock();
  const clock = isSlow ? manual : systemClock;
  await using mesh = await adapter.connect(adapter.settings.parse(settings), {
    name: "consul",
    clock,
    logger: createLogger("silent"),
    env: {},
    connection: () => undefined,
  });
  const over = new AbortController();
  const signed = Promise.withResolvers<undefined>();
  const watches = Promise.allSettled(
    services.map(async (service) => {
      for await (const _credential of mesh.watch({ service }, watchOptions(over.signal))) {
        signed.resolve(undefined);
      }
    }),
  );
  if (isSigned) await signed.promise;
  const checking = mesh.check();
  if (isSlow) {
    await manual.sleeping(1);
    await manual.advance(5_000);
  }
  const checks = await checking;
  over.abort();
  await watches;
  return name === undefined ? checks : checks.find((one) => one.name === name);
}

function containing(text: string): string {
  return expect.stringContaining(text) as string;
}
