import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRoot } from "../../fixtures/pki.ts";
import { type ConsulAgent, managementToken, startConsul } from "./agent.ts";
import { serverName, type TlsFiles, writeTlsFiles } from "./tls-files.ts";
import { watch } from "./watch.ts";

let folder: string;
let consul: ConsulAgent;
let client: TlsFiles;
let strangerCa: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-consul-"));
  const files = await writeTlsFiles(folder);
  client = files.client;
  strangerCa = join(folder, "stranger.pem");
  await writeFile(strangerCa, (await createRoot()).pem);
  consul = await startConsul({ folder, acl: true, tls: { ...files.server, verifyIncoming: true } });
});

afterAll(async () => {
  await consul[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const https = () => `https://127.0.0.1:${consul.httpsPort}`;

describe("a real Consul that verifies its clients", () => {
  it("gives a leaf to one with a certificate of its CA", async () => {
    await using edge = await watch(
      { address: https(), token: managementToken, tls: { ...client, serverName } },
      "edge",
    );
    const { chain } = await edge.next();
    expect(chain[0].uris[0]).toMatch(/\/svc\/edge$/);
    expect(edge.states).toEqual([{ connected: true }]);
  });

  it("gives one to an attaché that is set up by Consul's own variables alone", async () => {
    await using edge = await watch({}, "edge", {
      CONSUL_HTTP_ADDR: `127.0.0.1:${consul.httpsPort}`,
      CONSUL_HTTP_SSL: "true",
      CONSUL_HTTP_TOKEN: managementToken,
      CONSUL_CACERT: client.caFile,
      CONSUL_CLIENT_CERT: client.certFile,
      CONSUL_CLIENT_KEY: client.keyFile,
      CONSUL_TLS_SERVER_NAME: serverName,
    });
    const { chain } = await edge.next();
    expect(chain[0].uris[0]).toMatch(/\/svc\/edge$/);
  });

  it("gives one over gRPC to an attaché that is set up by Consul's own variables alone", async () => {
    await using edge = await watch({ mode: "grpc" }, "edge", {
      CONSUL_GRPC_ADDR: `127.0.0.1:${consul.grpcTlsPort}`,
      CONSUL_HTTP_TOKEN: managementToken,
      CONSUL_GRPC_CACERT: client.caFile,
      CONSUL_CLIENT_CERT: client.certFile,
      CONSUL_CLIENT_KEY: client.keyFile,
      CONSUL_TLS_SERVER_NAME: serverName,
    });
    const { chain } = await edge.next();
    expect(chain[0].uris[0]).toMatch(/\/svc\/edge$/);
  });

  it.each([
    ["without a client certificate", () => ({ tls: { caFile: client.caFile, serverName } }), /tls\.certFile/],
    ["without the name in Consul's certificate", () => ({ tls: client }), /tls\.serverName/],
    ["with another CA", () => ({ tls: { ...client, caFile: strangerCa, serverName } }), /tls\.caFile/],
    [
      "with plain HTTP on the port for TLS",
      () => ({ address: `http://127.0.0.1:${consul.httpsPort}` }),
      /https:\/\//,
    ],
    [
      "with TLS on the port for plain HTTP",
      () => ({ address: `https://127.0.0.1:${consul.port}` }),
      /http:\/\//,
    ],
  ])("%s is not reached, and the remedy says why", async (_, settings, remedy) => {
    await using edge = await watch({ address: https(), token: managementToken, ...settings() }, "edge");
    void edge.next().catch(() => undefined);
    await expect.poll(() => edge.states.length).toBeGreaterThan(0);
    expect(edge.states[0]).toMatchObject({ connected: false, error: { code: "ATTACHE_MESH_TLS" } });
    const [state] = edge.states;
    expect(state?.connected === false && state.error.remedy).toMatch(remedy);
  });
});
