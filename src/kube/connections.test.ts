import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:https";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import { TLSSocket } from "node:tls";
import { request } from "undici";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createLeaf, createRoot, type Issued } from "../../test/fixtures/pki.ts";
import type { Access, Tls } from "./access.ts";
import { openKubeClient } from "./client.ts";
import { Connections } from "./connections.ts";

let root: Issued;
let serverLeaf: Issued;

beforeAll(async () => {
  root = await createRoot();
  serverLeaf = await createLeaf(root, { dns: ["api.test"] });
});

async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket.on("error", () => undefined)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** Of each request, in the TLS handshake of its connection. */
const serverNames: unknown[] = [];

/** An API server that tells the serial number of the client's certificate. */
function apiServer(): Promise<number> {
  return listen(
    createServer(
      {
        key: serverLeaf.keyPem,
        cert: serverLeaf.pem,
        ca: root.pem,
        requestCert: true,
        rejectUnauthorized: false,
      },
      (request, response) => {
        const shown = request.socket instanceof TLSSocket && request.socket.getPeerX509Certificate();
        serverNames.push("servername" in request.socket && request.socket.servername);
        response.end(JSON.stringify({ client: shown ? shown.serialNumber : "none" }));
      },
    ),
  );
}

/** A proxy that knows one server, whatever it is asked for. */
async function httpProxy(port: number): Promise<{ asked: (string | undefined)[]; proxyUrl: string }> {
  const asked: (string | undefined)[] = [];
  const proxy = createHttpServer();
  proxy.on("connect", (request, near: Socket) => {
    asked.push(request.url);
    const far = connect(port, "127.0.0.1", () => near.write("HTTP/1.1 200 OK\r\n\r\n"));
    near.pipe(far).pipe(near);
  });
  return { asked, proxyUrl: `http://127.0.0.1:${await listen(proxy)}` };
}

function client(port: number, tls: () => Tls, proxyUrl?: string, host = "127.0.0.1") {
  const access: Access = {
    server: `https://${host}:${port}`,
    namespace: "edge",
    proxyUrl,
    authenticate: () => Promise.resolve({ tls: tls(), headers: {} }),
    refused: () => undefined,
  };
  const api = openKubeClient(access, { userAgent: "attache/test" });
  onTestFinished(() => api[Symbol.asyncDispose]());
  return () => api.request<{ client: string }>({ method: "GET", path: "/version" });
}

/** One whose answer begins and does not end. */
async function hangingServer(): Promise<number> {
  const server = createServer({ key: serverLeaf.keyPem, cert: serverLeaf.pem }, (_, response) =>
    response.writeHead(200).write("{"),
  );
  return listen(server);
}

async function socksProxy(port: number): Promise<{ asked: () => number; proxyUrl: string }> {
  let asked = 0;
  // RFC 1928: no authentication, then a CONNECT, whose address we know.
  const proxy = createTcpServer((near) => {
    near.once("data", () => {
      near.write(Buffer.from([5, 0]));
      near.once("data", () => {
        asked += 1;
        const far = connect(port, "127.0.0.1", () => near.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])));
        near.pipe(far).pipe(near);
      });
    });
  });
  return { asked: () => asked, proxyUrl: `socks5://127.0.0.1:${await listen(proxy)}` };
}

const trusting = (): Tls => ({ ca: root.pem, servername: "api.test" });

describe("connections to an API server", () => {
  it("trust only its CA, and its name", async () => {
    const port = await apiServer();
    expect(await client(port, trusting)()).toEqual({ client: "none" });
    const other = await createRoot();
    for (const tls of [{ ca: other.pem, servername: "api.test" }, { ca: root.pem }, {}]) {
      await expect(client(port, () => tls)()).rejects.toMatchObject({ code: "ATTACHE_KUBERNETES_TLS" });
    }
    expect(await client(port, () => ({ rejectUnauthorized: false }))()).toEqual({ client: "none" });
  });

  it("show the client certificate that there is now", async () => {
    const port = await apiServer();
    let tls = trusting();
    const ask = client(port, () => tls);
    for (const serialNumber of ["0A", "0B"]) {
      const { keyPem, pem } = await createLeaf(root, { serialNumber });
      tls = { ...trusting(), key: keyPem, cert: pem };
      expect(await ask()).toEqual({ client: serialNumber });
    }
  });

  it("go through an HTTP proxy", async () => {
    const port = await apiServer();
    const { asked, proxyUrl } = await httpProxy(port);
    expect(await client(port, trusting, proxyUrl)()).toEqual({ client: "none" });
    expect(asked).toEqual([`127.0.0.1:${port}`]);
  });

  it("name the server without the dot at the end of an absolute name, and never by an IP address", async () => {
    const port = await apiServer();
    const { proxyUrl } = await httpProxy(port);
    serverNames.splice(0);
    await client(port, () => ({ ca: root.pem, servername: "api.test." }))();
    await client(port, () => ({ ca: root.pem }), proxyUrl, "api.test.")();
    await client(port, () => ({ rejectUnauthorized: false, servername: "10.0.0.1" }))();
    expect(serverNames).toEqual(["api.test", "api.test", false]);
  });

  it("go through a SOCKS proxy", async () => {
    const port = await apiServer();
    const { asked, proxyUrl } = await socksProxy(port);
    expect(await client(port, trusting, proxyUrl)()).toEqual({ client: "none" });
    expect(asked()).toBe(1);
  });

  it.each([
    ["directly", () => Promise.resolve(undefined)],
    ["through an HTTP proxy", async (port: number) => (await httpProxy(port)).proxyUrl],
    ["through a SOCKS proxy", async (port: number) => (await socksProxy(port)).proxyUrl],
  ])("end %s with all that is being answered over them, also with a former certificate", async (_, proxy) => {
    const port = await hangingServer();
    const server = `https://127.0.0.1:${port}`;
    const connections = new Connections({ server, proxyUrl: await proxy(port), max: 1 });
    const former = connections.with(trusting());
    const { body } = await request(server, { dispatcher: former });
    // Waits for a connection, or is answered over another one.
    const next = request(server, { dispatcher: former }).then((answer) => answer.body.text());
    const present = await request(server, {
      dispatcher: connections.with({ ...trusting(), servername: "api.test." }),
    });
    const ended = [body.text(), next, present.body.text()].map((one) => expect(one).rejects.toThrow());
    await connections[Symbol.asyncDispose]();
    await Promise.all(ended);
  });
});
