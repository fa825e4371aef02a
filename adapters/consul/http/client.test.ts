import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { type Clock, systemClock } from "../../../src/mesh/adapter.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { connectMesh } from "../../../test/fixtures/connected-mesh.ts";
import { createLeaf, createRoot } from "../../../test/fixtures/pki.ts";
import { maxBytes } from "./bounded-body.ts";
import { ConsulClient } from "./client.ts";
import { connectionSettings } from "./connection-settings.ts";
import { httpSettings } from "../definition.ts";
import { adapter } from "../index.ts";

const token = "5f1c2a6e-4a57-4a6e-9d0f-0c3b1f6d2e11";
const never = new AbortController().signal;

describe("a request to Consul", () => {
  it("carries token, datacenter and query, and brings status, headers and text back", async () => {
    await using server = await listen((request, response) => {
      const { url, method, headers } = request;
      response.setHeader("x-consul-index", "7").end(JSON.stringify([method, url, headers["x-consul-token"]]));
    });
    using client = await open({ address: server.address, token, datacenter: "dc2" });
    const reply = await client.get("/agent/self", { query: { index: "3" }, timeoutMs: 1000, signal: never });
    expect(reply.headers["x-consul-index"]).toBe("7");
    expect(JSON.parse(reply.text)).toEqual(["GET", "/v1/agent/self?index=3&dc=dc2", token]);
  });

  it("uses its connection again", async () => {
    let connections = 0;
    await using server = await listen((_request, response) => response.end("{}"));
    server.server.on("connection", () => (connections += 1));
    using client = await open({ address: server.address });
    for (let left = 5; left > 0; left -= 1) await ask(client);
    expect(connections).toBe(1);
  });

  it("goes over a Unix socket, and to an IPv6 address", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "consul.sock");
    await using onSocket = await listen((_request, response) => response.end("socket"), path);
    await using onIpv6 = await listen((_request, response) => response.end("ipv6"), "::1");
    using socketClient = await open({ address: onSocket.address });
    using ipv6Client = await open({ address: onIpv6.address });
    expect((await ask(socketClient)).text).toBe("socket");
    expect((await ask(ipv6Client)).text).toBe("ipv6");
  });

  it.skipIf(process.platform !== "linux")(
    "goes to an IPv6 address with a zone, which the server does not get",
    async () => {
      await using server = await listen((request, response) => response.end(request.headers.host), "::1");
      const address = server.address.replace("[::1]", "[::1%25lo]");
      using client = await open({ address }, systemClock, {
        NO_PROXY: "none.example",
        HTTP_PROXY: "http://127.0.0.1:1",
      });
      expect((await ask(client)).text).toBe(server.address.replace("http://", ""));
    },
  );

  it("carries the path of a gateway and its user and password, also over a Unix socket", async () => {
    await using folder = await temporaryFolder();
    const answer: RequestListener = ({ url, headers: { authorization } }, response) =>
      void response.end(`${url} ${authorization}`);
    await using server = await listen(answer);
    await using onSocket = await listen(answer, join(folder.path, "consul.sock"));
    const env = { CONSUL_HTTP_AUTH: "edge:pass:wörd" };
    const basic = `Basic ${Buffer.from("edge:pass:wörd").toString("base64")}`;
    using behind = await open({ address: `${server.address}/gate/way/` }, systemClock, env);
    using socketClient = await open({ address: onSocket.address }, systemClock, env);
    expect((await ask(behind)).text).toBe(`/gate/way/v1/any ${basic}`);
    expect((await ask(socketClient)).text).toBe(`/v1/any ${basic}`);
  });

  it("shows neither the gateway's password nor what is sent of it, however an answer has it", async () => {
    const password = "Hunter2-Hunter2";
    const sent = Buffer.from(`edge:${password}`).toString("base64");
    await using server = await listen((_request, response) =>
      response.writeHead(401).end(`no ${password.toUpperCase()}, ${password} or ${sent.toLowerCase()}`),
    );
    using client = await open({ address: server.address }, systemClock, {
      CONSUL_HTTP_AUTH: `edge:${password}`,
    });
    const error: unknown = await ask(client).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      problem: expect.stringMatching(
        /\(status 401: no \[removed\], \[removed\] or \[removed\]\)$/,
      ) as unknown,
      remedy: expect.stringContaining("CONSUL_HTTP_AUTH") as unknown,
    });
    for (const secret of [password, sent]) expect(inspect(error)).not.toContain(secret);
  });

  it("goes through the proxy of the environment, but for what NO_PROXY names", async () => {
    const { pem, keyPem } = await createLeaf(await createRoot(), { dns: ["consul.example"] });
    await using secure = await listenTls({ key: keyPem, cert: pem });
    const asked: (string | undefined)[] = [];
    const proxy = createServer(({ url }, response) => {
      asked.push(url);
      response.end("plain");
    });
    proxy.on("connect", ({ url }, near: Socket) => {
      asked.push(url);
      const far = connect(portOf(secure.server), "127.0.0.1", () => near.write("HTTP/1.1 200 OK\r\n\r\n"));
      near.pipe(far).pipe(near);
    });
    await using through = await listening(proxy, "http");
    const env = { HTTP_PROXY: through.address, HTTPS_PROXY: through.address, NO_PROXY: "direct.example" };
    const tls = { insecureSkipVerify: true };
    using plain = await open({ address: "http://consul.example" }, systemClock, env);
    using encrypted = await open({ address: "https://consul.example", tls }, systemClock, env);
    expect((await ask(plain)).text).toBe("plain");
    expect((await ask(encrypted)).text).toBe("{}");
    expect(asked).toEqual(["http://consul.example/v1/any", "consul.example:443"]);
    const direct = httpSettings.parse({ mode: "http", address: "https://direct.example" });
    expect(connectionSettings(direct, env).proxyUrl).toBeUndefined();
  });

  it("reads the token's file each time", async () => {
    await using folder = await temporaryFolder();
    const tokenFile = join(folder.path, "token");
    await using server = await listen((request, response) => response.end(request.headers["x-consul-token"]));
    using client = await open({ address: server.address, tokenFile });
    await expect(ask(client)).rejects.toMatchObject({
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      problem: `the token file ${tokenFile} cannot be read (ENOENT)`,
    });
    await writeFile(tokenFile, `${token}\n`);
    expect((await ask(client)).text).toBe(token);
    await writeFile(tokenFile, "another");
    expect((await ask(client)).text).toBe("another");
    await writeFile(tokenFile, " \n");
    await expect(ask(client)).rejects.toThrow(`the token file ${tokenFile} holds nothing`);
    await writeFile(tokenFile, "secret one\nsecret two");
    const error: unknown = await ask(client).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ATTACHE_MESH_UNAUTHENTICATED" });
    expect(inspect(error)).not.toContain("secret one");
  });
});

describe("a login over HTTP", () => {
  it("gives the token that requests carry, another one when that has expired, and gives it back", async () => {
    const clock = manualClock();
    await using folder = await temporaryFolder();
    const [bearerTokenFile] = await folder.write("bearer");
    const seen: unknown[] = [];
    let given = 0;
    let known = "";
    await using server = await listen((request, response) => {
      void text(request).then((body) => {
        seen.push([request.url, request.headers["x-consul-token"], body]);
        if (request.url?.startsWith("/v1/acl/login") === true) {
          given += 1;
          known = `token-${given}`;
          response.end(JSON.stringify({ SecretID: known }));
        } else {
          const isKnown = request.headers["x-consul-token"] === known;
          response.writeHead(isKnown ? 200 : 403).end(isKnown ? "{}" : "ACL not found");
        }
      });
    });
    const login = { authMethod: "jwt", bearerTokenFile, namespace: "shop" };
    using client = await open({ address: server.address, login }, clock);
    await ask(client);
    await clock.advance(30_000);
    known = "another's";
    await ask(client);
    await client.logOut();
    const request = JSON.stringify({ AuthMethod: "jwt", BearerToken: "bearer" });
    expect(seen).toEqual([
      ["/v1/acl/login?ns=shop", undefined, request],
      ["/v1/any", "token-1", ""],
      ["/v1/any", "token-1", ""],
      ["/v1/acl/login?ns=shop", undefined, request],
      ["/v1/any", "token-2", ""],
      ["/v1/acl/logout", "token-2", ""],
    ]);
  });

  it("does not hold the end of its mesh for longer than 3 s when the agent hangs", async () => {
    const clock = manualClock();
    await using folder = await temporaryFolder();
    const [bearerTokenFile] = await folder.write("bearer");
    const asked = Promise.withResolvers<undefined>();
    await using server = await listen(({ url = "" }, response) => {
      if (url.startsWith("/v1/acl/login")) response.end(JSON.stringify({ SecretID: "token-1" }));
      else asked.resolve(undefined);
    });
    const login = { authMethod: "jwt", bearerTokenFile };
    const settings = { mode: "http", address: server.address, login };
    const { mesh, watch } = await connectMesh(adapter, settings, { clock });
    watch({ service: "web" });
    await asked.promise;
    const ended = mesh[Symbol.asyncDispose]();
    // It ends the queries first.
    await expect.poll(() => clock.sleeps).toContain(3_000);
    await clock.advance(3_000);
    await ended;
  });

  it.each([
    [403, 'ACL not found: auth method "jwt" not found', "UNAUTHENTICATED", "auth-method list"],
    [403, "Permission denied", "FORBIDDEN", "binding-rule"],
    [500, "error validating claims: bearer is expired", "UNAUTHENTICATED", "BoundAudiences"],
    [401, "ACL support disabled", "UNAUTHENTICATED", "Leave `login` out"],
    [
      400,
      'Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature',
      "IDENTITY_REFUSED",
      "`namespace`",
    ],
    [500, "No cluster leader", "UNAVAILABLE", "raft list-peers"],
  ])("that is refused with %i %s is ATTACHE_MESH_%s", async (status, said, code, remedy) => {
    await using folder = await temporaryFolder();
    const [bearerTokenFile] = await folder.write("bearer");
    await using server = await listen((_request, response) => response.writeHead(status).end(said));
    using client = await open({ address: server.address, login: { authMethod: "jwt", bearerTokenFile } });
    const error: unknown = await ask(client).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: `ATTACHE_MESH_${code}`,
      remedy: expect.stringContaining(remedy) as string,
    });
    expect(inspect(error)).not.toContain("bearer is");
  });
});

describe("an answer that is not whole", () => {
  it("is malformed when it is cut in the middle", async () => {
    await using server = await listen((_request, response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write("half", () => response.destroy());
    });
    using client = await open({ address: server.address });
    await expect(ask(client)).rejects.toMatchObject({
      code: "ATTACHE_MESH_MALFORMED",
      problem: "Consul's answer is cut in the middle",
    });
  });

  it.each([
    ["says its length", { "content-length": String(maxBytes + 1) }],
    ["never ends", {}],
  ])("is malformed when it is too large and %s", async (_how, headers) => {
    let closed: Promise<unknown> | undefined;
    await using server = await listen((request, response) => {
      closed = once(request.socket, "close");
      response.writeHead(200, headers);
      response.write(Buffer.alloc(maxBytes + 1, "x"));
    });
    using client = await open({ address: server.address });
    await expect(ask(client)).rejects.toMatchObject({
      code: "ATTACHE_MESH_MALFORMED",
      problem: "Consul's answer is longer than 1048576 bytes",
    });
    await closed;
  });

  it("is taken when it is as large as allowed", async () => {
    await using server = await listen((_request, response) => response.end(Buffer.alloc(maxBytes, "x")));
    using client = await open({ address: server.address });
    expect((await ask(client)).text).toHaveLength(maxBytes);
  });

  it.each([
    ["does not come", () => undefined],
    [
      "stops after its head",
      (socket: Socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
    ],
    [
      "stops in its middle",
      (socket: Socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
    ],
    ["has headers without end", (socket: Socket) => socket.write("HTTP/1.1 200 OK\r\nx-a: b\r\n")],
  ])("is given up when its time is over and it %s", async (_how, send) => {
    const clock = manualClock();
    await using server = await listenTcp(send);
    using client = await open({ address: server.address }, clock);
    const asking = ask(client);
    asking.catch(() => undefined);
    await server.asked;
    await clock.advance(60_000);
    await expect(asking).rejects.toMatchObject({
      code: "ATTACHE_MESH_TIMEOUT",
      problem: `${server.address} did not answer in 60 s`,
    });
    await server.left;
  });

  it("is given up at once when the caller aborts, with the caller's reason", async () => {
    await using server = await listenTcp(() => undefined);
    using client = await open({ address: server.address });
    const caller = new AbortController();
    const asking = client.get("/any", { timeoutMs: 60_000, signal: caller.signal });
    asking.catch(() => undefined);
    await server.asked;
    const reason = new Error("the identity was deleted");
    caller.abort(reason);
    await expect(asking).rejects.toBe(reason);
    await server.left;
  });

  it.each([
    ["is not HTTP", "SSH-2.0-OpenSSH_9.6\r\n"],
    ["has endless headers", `HTTP/1.1 200 OK\r\nx-a: ${"b".repeat(100_000)}\r\n`],
  ])("is malformed when it %s", async (_what, text) => {
    await using server = await listenTcp((socket) => socket.write(text));
    using client = await open({ address: server.address });
    await expect(ask(client)).rejects.toMatchObject({ code: "ATTACHE_MESH_MALFORMED" });
  });

  it("means that Consul is unreachable when the connection just ends", async () => {
    await using server = await listenTcp((socket) => socket.destroy());
    using client = await open({ address: server.address });
    await expect(ask(client)).rejects.toMatchObject({
      code: "ATTACHE_MESH_UNREACHABLE",
      problem: `${server.address} cannot be reached (ECONNRESET)`,
    });
  });
});

describe("a Consul that cannot be reached", () => {
  it("is reported with what to look at", async () => {
    const server = await listen((_request, response) => response.end());
    const { address } = server;
    await server[Symbol.asyncDispose]();
    using client = await open({ address });
    await expect(ask(client)).rejects.toMatchObject({
      code: "ATTACHE_MESH_UNREACHABLE",
      problem: `${address} cannot be reached (ECONNREFUSED)`,
      remedy: expect.stringContaining("port of its HTTP API") as string,
    });
  });

  it("is reported with the socket's path where it is a socket", async () => {
    using client = await open({ address: "unix:///nonexistent/consul.sock" });
    await expect(ask(client)).rejects.toMatchObject({
      code: "ATTACHE_MESH_UNREACHABLE",
      remedy: expect.stringContaining("/nonexistent/consul.sock") as string,
    });
  });
});

describe("TLS to Consul", async () => {
  const root = await createRoot();
  const identity = await createLeaf(root, { dns: ["server.dc1.consul"] });
  const expired = await createLeaf(root, {
    dns: ["server.dc1.consul"],
    notAfter: new Date("2021-01-01T00:00:00Z"),
  });
  const serverSide = { key: identity.keyPem, cert: identity.pem };
  const serverName = "server.dc1.consul";

  it("succeeds with Consul's CA, its name, and the client certificate that it wants", async () => {
    await using folder = await temporaryFolder();
    const [caFile, certFile, keyFile] = await folder.write(root.pem, identity.pem, identity.keyPem);
    await using server = await listenTls({ ...serverSide, ca: root.pem, requestCert: true });
    using client = await open({ address: server.address, tls: { caFile, certFile, keyFile, serverName } });
    expect((await ask(client)).text).toBe("{}");
    using without = await open({ address: server.address, tls: { caFile, serverName } });
    await expect(ask(without)).rejects.toMatchObject({
      code: "ATTACHE_MESH_TLS",
      remedy: expect.stringContaining("tls.certFile") as string,
    });
  });

  it("succeeds with any certificate only when that is asked for", async () => {
    await using server = await listenTls(serverSide);
    using client = await open({ address: server.address, tls: { insecureSkipVerify: true } });
    expect((await ask(client)).text).toBe("{}");
  });

  it.each([
    ["the CA is unknown", { caFile: undefined }, serverSide, "tls.caFile"],
    ["the name is another", { serverName: "other.consul" }, serverSide, "tls.serverName"],
    ["the certificate has expired", {}, { key: expired.keyPem, cert: expired.pem }, "Renew"],
  ])("fails when %s, before the token is sent", async (_when, change, terms, remedy) => {
    await using folder = await temporaryFolder();
    const [caFile] = await folder.write(root.pem);
    await using server = await listenTls(terms);
    const tls = { caFile, serverName, ...change };
    using client = await open({ address: server.address, token, tls });
    await expect(ask(client)).rejects.toMatchObject({
      code: "ATTACHE_MESH_TLS",
      retryable: true,
      remedy: expect.stringContaining(remedy) as string,
    });
    expect(server.bytes).toBe(0);
  });

  it("fails with a hint when the port speaks plain HTTP", async () => {
    await using server = await listen((_request, response) => response.end());
    using client = await open({ address: server.address.replace("http:", "https:") });
    await expect(ask(client)).rejects.toMatchObject({
      code: "ATTACHE_MESH_TLS",
      remedy: expect.stringContaining("plain text") as string,
    });
  });

  it("succeeds again, without a restart, when the CA's file was replaced", async () => {
    await using folder = await temporaryFolder();
    const [caFile = ""] = await folder.write((await createRoot()).pem);
    await using server = await listenTls(serverSide);
    using client = await open({ address: server.address, tls: { caFile, serverName } });
    await expect(ask(client)).rejects.toMatchObject({ code: "ATTACHE_MESH_TLS" });
    await writeFile(caFile, root.pem);
    await expect(ask(client)).rejects.toMatchObject({ code: "ATTACHE_MESH_TLS" });
    expect((await ask(client)).text).toBe("{}");
  });

  it("takes every file of a folder of CAs", async () => {
    await using folder = await temporaryFolder();
    await folder.write((await createRoot()).pem, root.pem);
    await using server = await listenTls(serverSide);
    using client = await open({ address: server.address, tls: { caPath: folder.path, serverName } });
    expect((await ask(client)).text).toBe("{}");
  });

  it.each([
    ["is not there", undefined, "cannot be read"],
    ["is no PEM", "garbage", "OpenSSL does not take"],
  ])("is refused when the client certificate %s", async (_what, text, problem) => {
    await using folder = await temporaryFolder();
    const [keyFile] = await folder.write(identity.keyPem);
    const certFile = join(folder.path, "cert.pem");
    if (text !== undefined) await writeFile(certFile, text);
    await expect(open({ address: "https://localhost", tls: { certFile, keyFile } })).rejects.toThrow(problem);
  });
});

async function open(settings: object, clock: Clock = systemClock, env = {}): Promise<ConsulClient> {
  return ConsulClient.open(connectionSettings(httpSettings.parse({ mode: "http", ...settings }), env), clock);
}

function ask(client: ConsulClient) {
  return client.get("/any", { timeoutMs: 60_000, signal: never });
}

async function listen(listener: RequestListener, where = "127.0.0.1") {
  return listening(createServer(listener), "http", where);
}

async function listenTls(options: ServerOptions) {
  const server = createTlsServer(options, (_request, response) => response.end("{}"));
  let bytes = 0;
  server.on("secureConnection", (socket) => socket.on("data", (data: Buffer) => (bytes += data.length)));
  return {
    ...(await listening(server, "https")),
    /** How much clients have sent. */
    get bytes() {
      return bytes;
    },
  };
}

async function listening(server: Server, scheme: string, where = "127.0.0.1") {
  const isSocket = where.startsWith("/");
  if (isSocket) server.listen(where);
  else server.listen(0, where);
  await once(server, "listening");
  const host = where.includes(":") ? `[${where}]` : where;
  return {
    server,
    address: isSocket ? `unix://${where}` : `${scheme}://${host}:${portOf(server)}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      if (server.listening) await once(server, "close");
    },
  };
}

/** A server that reads one request and sends whatever the test wants. */
async function listenTcp(send: (socket: Socket) => unknown) {
  const asked = Promise.withResolvers<undefined>();
  const left = Promise.withResolvers<undefined>();
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => left.resolve(undefined));
    socket.once("data", () => {
      send(socket);
      asked.resolve(undefined);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `http://127.0.0.1:${portOf(server)}`,
    asked: asked.promise,
    left: left.promise,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function portOf(server: { address(): unknown }): number {
  const address = server.address();
  if (typeof address === "object" && address !== null && "port" in address) return Number(address.port);
  return 0;
}

async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), "attache-"));
  return {
    path,
    /** One file for each text. */
    async write(...texts: readonly string[]): Promise<string[]> {
      const paths = texts.map((_text, index) => join(path, `file-${index}.pem`));
      await Promise.all(paths.map((file, index) => writeFile(file, texts[index] ?? "")));
      return paths;
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}
