import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Check } from "../../../src/mesh/adapter.ts";
import { createRoot } from "../../fixtures/pki.ts";
import { createToken } from "./acl.ts";
import { type ConsulAgent, startConsul } from "./agent.ts";
import { serverName, type TlsFiles, writeTlsFiles } from "./tls-files.ts";
import { watch } from "./watch.ts";

let folder: string;
let consul: ConsulAgent;
let withoutCa: ConsulAgent;
let client: TlsFiles;
let strangerCa: string;
let good: string;
let reader: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-consul-"));
  const files = await writeTlsFiles(folder);
  client = files.client;
  strangerCa = join(folder, "stranger.pem");
  await writeFile(strangerCa, (await createRoot()).pem);
  [consul, withoutCa] = await Promise.all([
    startConsul({ folder, acl: true, tls: { ...files.server, verifyIncoming: true } }),
    startConsul({ folder, isWithoutCa: true }),
  ]);
  good = await createToken(consul, "write", ["edge"]);
  reader = await createToken(consul, "read", ["edge"]);
});

afterAll(async () => {
  await Promise.all([consul, withoutCa].map((one) => one[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true });
});

const unknown = "0e0a3f62-8d3c-4a54-9a4e-3c1b7f6d2a90";

/** Settings that differ from those that are all right by `change`. */
function grpc(change: object = {}): object {
  const addresses = [`127.0.0.1:${consul.grpcTlsPort}`];
  return { mode: "grpc", addresses, token: good, tls: { ...client, serverName }, ...change };
}

function http(change: object = {}): object {
  const address = `https://127.0.0.1:${consul.httpsPort}`;
  return { mode: "http", address, token: good, tls: { ...client, serverName }, ...change };
}

const plainGrpc = (port: number, change = {}) => ({
  ...grpc(),
  addresses: [`http://127.0.0.1:${port}`],
  tls: undefined,
  ...change,
});
const plainHttp = (port: number, change = {}) => ({
  ...http(),
  address: `http://127.0.0.1:${port}`,
  tls: undefined,
  ...change,
});

describe("the checks of a real Consul that verifies its clients", () => {
  it.each([
    ["gRPC", grpc],
    ["HTTP", http],
  ])("are all well over %s, with its CA, name, client certificate and token", async (_, settings) => {
    expect((await checks(settings())).filter(({ status }) => status !== "ok")).toEqual([]);
  });

  it.each<[what: string, settings: () => object, name: RegExp, remedy: RegExp]>([
    [
      "a wrong CA, gRPC",
      () => grpc({ tls: { ...client, serverName, caFile: strangerCa } }),
      /^server/,
      /tls\.caFile/,
    ],
    [
      "a wrong CA, HTTP",
      () => http({ tls: { ...client, serverName, caFile: strangerCa } }),
      /^agent/,
      /tls\.caFile/,
    ],
    [
      "a wrong name, gRPC",
      () => grpc({ tls: { ...client, serverName: "other" } }),
      /^server/,
      /tls\.serverName/,
    ],
    [
      "a wrong name, HTTP",
      () => http({ tls: { ...client, serverName: "other" } }),
      /^agent/,
      /tls\.serverName/,
    ],
    [
      "no client certificate, gRPC",
      () => grpc({ tls: { caFile: client.caFile, serverName } }),
      /^server/,
      /tls\.certFile/,
    ],
    [
      "no client certificate, HTTP",
      () => http({ tls: { caFile: client.caFile, serverName } }),
      /^agent/,
      /tls\.certFile/,
    ],
    [
      "plain text on the port for TLS, gRPC",
      () => plainGrpc(consul.grpcTlsPort),
      /^server/,
      /Leave http:\/\/ out/,
    ],
    ["plain text on the port for TLS, HTTP", () => plainHttp(consul.httpsPort), /leader/, /https:\/\//],
    [
      "TLS on the port for plain text, gRPC",
      () => grpc({ addresses: [`127.0.0.1:${consul.grpcPort}`] }),
      /^server/,
      /http:\/\//,
    ],
    [
      "TLS on the port for plain text, HTTP",
      () => http({ address: `https://127.0.0.1:${consul.port}` }),
      /^agent/,
      /http:\/\//,
    ],
    ["the port of the HTTP API for gRPC", () => plainGrpc(consul.port), /^server/, /8502/],
    ["a port without a server, gRPC", () => plainGrpc(1), /^server/, /port of its gRPC API/],
    ["a port without a server, HTTP", () => plainHttp(1), /^agent/, /port of its HTTP API/],
    ["no token, gRPC", () => grpc({ token: undefined }), /^ACL token/, /`tokenFile`/],
    ["no token, HTTP", () => http({ token: undefined }), /^ACL token/, /`tokenFile`/],
    ["a token that Consul does not know, gRPC", () => grpc({ token: unknown }), /^ACL token/, /deleted/],
    ["a token that Consul does not know, HTTP", () => http({ token: unknown }), /^ACL token/, /deleted/],
    [
      "a token without the permission, gRPC",
      () => grpc({ token: reader }),
      /^permission for edge/,
      /service "NAME"/,
    ],
    ["another datacenter, gRPC", () => grpc({ datacenter: "dc2" }), /^datacenter/, /`datacenter`/],
    ["another datacenter, HTTP", () => http({ datacenter: "dc2" }), /^leader|^CA/, /`datacenter`/],
    ["Connect that is off, gRPC", () => plainGrpc(withoutCa.grpcPort), /^CA/, /connect \{ enabled = true \}/],
    ["Connect that is off, HTTP", () => plainHttp(withoutCa.port), /^CA/, /connect \{ enabled = true \}/],
  ])("report %s", async (_, settings, name, remedy) => {
    const [first] = (await checks(settings())).filter(({ status }) => status !== "ok");
    expect(first?.name).toMatch(name);
    expect(first?.remedy).toMatch(remedy);
  });
});

/** Also of the identity that attaché wants. */
async function checks(settings: object): Promise<Check[]> {
  await using edge = await watch(settings, "edge");
  const credential = edge.next().catch(() => undefined);
  await Promise.race([credential, edge.check()]);
  const found = await edge.check();
  for (const secret of [good, reader, unknown]) expect(JSON.stringify(found)).not.toContain(secret);
  return found;
}
