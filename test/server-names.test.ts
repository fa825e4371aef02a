import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";
import { describe, expect, it } from "vitest";
import { openServerChannel, verificationOf } from "../adapters/consul/grpc/channel.ts";
import { probe } from "../adapters/consul/grpc/probe.ts";
import { ConsulClient } from "../adapters/consul/http/client.ts";
import { CaConnection } from "../adapters/istio/istiod/ca-connection.ts";
import { endpointOf, tryHandshake } from "../adapters/istio/istiod/handshake.ts";
import { systemClock } from "../src/mesh/adapter.ts";
import { createLeaf, createRoot } from "./fixtures/pki.ts";

const root = await createRoot();
const leaf = await createLeaf(root, { dns: ["consul.test"] });

/** What each handshake named, of a real TLS server; `false`: nothing. */
async function recorder() {
  const names: unknown[] = [];
  const key = leaf.key.export({ type: "pkcs8", format: "pem" });
  let named: string | false = false;
  const server = createServer({
    key,
    cert: leaf.certificate.toPem(),
    ALPNProtocols: ["h2", "http/1.1"],
    SNICallback(name, done) {
      named = name;
      done(null);
    },
  });
  server.on("secureConnection", (socket) => {
    names.push(named);
    socket.on("error", () => undefined);
    socket.end("no HTTP");
  });
  // A client may leave once it knows enough.
  server.on("tlsClientError", () => names.push(named));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    names,
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]: () => void server.close(),
  };
}

type Recorder = Awaited<ReturnType<typeof recorder>>;
type Client = (to: Recorder, serverName: string | undefined) => Promise<unknown>;

const tls = { caFile: undefined, caPath: undefined, certFile: undefined, keyFile: undefined };
const { signal } = new AbortController();

/** The name of a host that resolves to the recorder is a setting, where it is none in the address. */
const consulTls = (serverName: string | undefined) => ({ ...tls, serverName, insecureSkipVerify: true });
const consulServer = ({ port }: Recorder) => ({ host: "127.0.0.1", port, name: undefined, isStandIn: false });

const clients: [string, Client][] = [
  [
    "the HTTP API of Consul",
    async (to, serverName) => {
      const endpoint = { isSecure: true, host: "127.0.0.1", port: to.port, path: "", url: "https://consul" };
      const settings = {
        endpoint,
        token: { kind: "none" as const },
        datacenter: undefined,
        basicAuth: undefined,
        proxyUrl: undefined,
      };
      using client = await ConsulClient.open({ ...settings, tls: consulTls(serverName) }, systemClock);
      await client.get("/status/leader", { timeoutMs: 5_000, signal }).catch(() => undefined);
    },
  ],
  [
    "the gRPC API of Consul",
    async (to, serverName) => {
      const server = consulServer(to);
      const client = openServerChannel(server, await verificationOf(consulTls(serverName), server));
      client.getChannel().getConnectivityState(true);
      await expect.poll(() => to.names).toHaveLength(1);
      client.close();
    },
  ],
  [
    "the gRPC API of Consul, when it is probed",
    async (to, serverName) => {
      const server = consulServer(to);
      await probe(server, await verificationOf(consulTls(serverName), server), {
        clock: systemClock,
        signal,
      });
    },
  ],
  [
    "istiod",
    async (to, serverName = "127.0.0.1") => {
      using connection = new CaConnection(endpointOf(`127.0.0.1:${to.port}`, serverName), systemClock);
      connection.trust([root.certificate]);
      const request = { csr: "", token: undefined, clusterId: undefined, ttl: 0, signal };
      await connection.createCertificate(request).catch(() => undefined);
    },
  ],
  [
    "istiod, when the handshake is tried",
    async (to, serverName = "127.0.0.1") => {
      const endpoint = endpointOf(`127.0.0.1:${to.port}`, serverName);
      await tryHandshake(endpoint, [root.certificate], systemClock, signal);
    },
  ],
];

// The API server's is in src/kube/connections.test.ts.
describe.each(clients)("a TLS handshake with %s", (_peer, connect) => {
  it.each([
    ["names the server", "consul.test", "consul.test"],
    ["leaves out the dot at the end of an absolute name", "consul.test.", "consul.test"],
    ["names no IP address", undefined, false],
  ])("%s", async (_what, serverName, named) => {
    using to = await recorder();
    await connect(to, serverName);
    await expect.poll(() => to.names[0]).toBe(named);
  });
});
