import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { connect, Server, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, it, vi } from "vitest";
import { manualClock, type ManualClock } from "../../test/fixtures/clock.ts";
import { metricsFor, identityState, stateWith } from "../../test/fixtures/state.ts";
import { createLogger } from "../telemetry/logger.ts";
import { contentTypes, type Metrics } from "../telemetry/metrics.ts";
import type { State } from "../telemetry/state.ts";
import { startServer } from "./server.ts";
import { ServerError } from "./failure.ts";

interface Served extends AsyncDisposable {
  readonly port: number;
  /** The address of the probes' own listener. */
  readonly probes: string;
  readonly clock: ManualClock;
  readonly logged: string[];
  readonly metrics: Metrics;
  get(path: string, init?: RequestInit): Promise<Response>;
  /**
   * Sends `bytes` as they are, and resolves with all that comes back until the server closes the connection.
   */
  raw(bytes: string): Promise<string>;
}

interface Setting {
  readonly state?: State;
  readonly exposition?: Metrics["exposition"];
}

async function serve({ state = stateWith(), exposition }: Setting = {}): Promise<Served> {
  const clock = manualClock();
  const logged: string[] = [];
  const logger = createLogger("debug", { write: (line) => void logged.push(line) });
  const metrics = { ...metricsFor(state), ...(exposition && { exposition }) };
  const listen = { host: "127.0.0.1", port: 0 };
  const server = await startServer({ listen, probes: listen, metrics, state, logger, clock });
  return {
    port: server.port,
    probes: `http://127.0.0.1:${server.probes?.port}`,
    clock,
    logged,
    metrics,
    get: (path, init) => fetch(`http://127.0.0.1:${server.port}${path}`, init),
    raw(bytes) {
      const socket = connect(server.port, "127.0.0.1");
      let received = "";
      socket.on("data", (data) => (received += data.toString()));
      // What is refused may be reset; what had come before counts.
      socket.on("error", () => undefined);
      socket.write(bytes);
      return new Promise((resolve) => socket.on("close", () => resolve(received)));
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function errorIn(reply: Response): Promise<unknown> {
  expect(reply.headers.get("content-type")).toBe("application/json; charset=utf-8");
  return ((await reply.json()) as { error: unknown }).error;
}

describe("/livez and /readyz", () => {
  it.each(["/livez", "/readyz"])("%s is ok", async (path) => {
    await using served = await serve();
    const reply = await served.get(path);
    expect([reply.status, await reply.text(), reply.headers.get("cache-control")]).toEqual([
      200,
      "ok\n",
      "no-store",
    ]);
  });

  it.each(["/livez", "/readyz"])(
    "%s gives its reasons when it is asked to, and when it fails",
    async (path) => {
      const state = { ...stateWith(), isRunning: true };
      await using served = await serve({ state });
      expect(await (await served.get(`${path}?verbose`)).text()).toContain("[+] store: watched\n");
      state.isRunning = false;
      const reply = await served.get(path);
      expect(reply.status).toBe(503);
      expect(await reply.text()).toMatch(/^\[-\] store: not watched\n[^]*failed\n$/m);
    },
  );

  it("is ready for good once it was: an identity that comes later has to be looked at first, and that is no news", async () => {
    const late = identityState("late", { status: undefined });
    const state = { ...stateWith(), identities: [late] };
    await using served = await serve({ state });
    expect((await served.get("/readyz")).status).toBe(503);
    state.identities = [identityState()];
    expect((await served.get("/readyz")).status).toBe(200);
    state.identities = [identityState(), late];
    expect((await served.get("/readyz")).status).toBe(200);
  });
});

describe("the listener of the probes", () => {
  it("answers both, and serves no metrics", async () => {
    await using served = await serve();
    for (const path of ["/livez", "/readyz"])
      expect((await fetch(`${served.probes}${path}`)).status).toBe(200);
    const metrics = await fetch(`${served.probes}/metrics`);
    expect([metrics.status, await errorIn(metrics)]).toMatchObject([
      404,
      { code: "ATTACHE_SERVER_NOT_FOUND" },
    ]);
  });

  it("knows that the other one was ready", async () => {
    const state = { ...stateWith(), identities: [identityState()] };
    await using served = await serve({ state });
    expect((await served.get("/readyz")).status).toBe(200);
    state.identities = [identityState("late", { status: undefined })];
    expect((await fetch(`${served.probes}/readyz`)).status).toBe(200);
  });

  it("listens on IPv4 in place of every address on a machine without IPv6", async () => {
    const listen = Reflect.get(Server.prototype, "listen") as (...args: unknown[]) => Server;
    const refusing = vi.spyOn(Server.prototype, "listen").mockImplementation(function (
      this: Server,
      ...args: unknown[]
    ) {
      if ((args[0] as { readonly host: string }).host !== "::") return listen.apply(this, args);
      const unsupported = Object.assign(new Error("no IPv6"), { code: "EAFNOSUPPORT" });
      process.nextTick(() => this.emit("error", unsupported));
      return this;
    });
    try {
      const options = { metrics: metricsFor(stateWith()), state: stateWith(), clock: manualClock() };
      const logger = createLogger("silent");
      await using server = await startServer({ ...options, logger, listen: { host: "::", port: 0 } });
      expect(server.address).toBe("0.0.0.0");
    } finally {
      refusing.mockRestore();
    }
  });

  it("that cannot listen leaves the other address free", async () => {
    await using served = await serve();
    const state = stateWith();
    const options = {
      state,
      metrics: metricsFor(state),
      logger: createLogger("silent"),
      clock: manualClock(),
    };
    const probes = { host: "127.0.0.1", port: served.port };
    let port = 0;
    {
      await using free = await startServer({ ...options, listen: { host: "127.0.0.1", port } });
      port = free.port;
    }
    const listen = { host: "127.0.0.1", port };
    await expect(startServer({ ...options, listen, probes })).rejects.toMatchObject({
      problem: `cannot serve on 127.0.0.1:${served.port}: the port is in use`,
    });
    await using again = await startServer({ ...options, listen });
    expect(again.probes).toBeUndefined();
  });
});

describe("/metrics", () => {
  it("is in the format of Prometheus", async () => {
    await using served = await serve();
    served.metrics.applied(3);
    const reply = await served.get("/metrics");
    expect([reply.status, reply.headers.get("content-type")]).toEqual([200, contentTypes.prometheus]);
    const body = await reply.text();
    expect(body).toContain('\nattache_store_writes_total{installation="attache"} 3\n');
    expect(body).toContain(
      'attache_leaf_not_after_timestamp_seconds{namespace="emissary",name="storefront",mesh="consul",installation="attache"} 1767484800\n',
    );
  });

  it("is OpenMetrics where the request accepts it", async () => {
    await using served = await serve();
    const reply = await served.get("/metrics", {
      headers: { accept: "application/openmetrics-text;version=1.0.0,*/*;q=0.1" },
    });
    expect(reply.headers.get("content-type")).toBe(contentTypes.openmetrics);
    expect(await reply.text()).toMatch(/\n# EOF\n$/);
  });

  it("is rendered once for all who ask within a second, and again after it", async () => {
    let renders = 0;
    async function* exposition() {
      renders += 1;
      yield await Promise.resolve(`${renders}\n`);
    }
    await using served = await serve({ exposition });
    const page = async () => (await served.get("/metrics")).text();
    const pages = await Promise.all(Array.from({ length: 20 }, page));
    expect(new Set([...pages, await page()])).toEqual(new Set(["1\n"]));
    await served.clock.advance(1_000);
    expect([await page(), renders]).toEqual(["2\n", 2]);
  });

  it("is rendered one page at a time, also in both formats", async () => {
    const holds = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    let [begun, ended] = [0, 0];
    async function* exposition() {
      expect(ended).toBe(begun);
      await holds[begun++]?.promise;
      ended += 1;
      yield "x\n";
    }
    await using served = await serve({ exposition });
    const accept = "application/openmetrics-text;version=1.0.0";
    const both = [served.get("/metrics"), served.get("/metrics", { headers: { accept } })];
    await vi.waitFor(() => expect(begun).toBe(1));
    // A page that takes more than a second is shared nevertheless.
    await served.clock.advance(1_000);
    both.push(served.get("/metrics"));
    for (const { resolve } of holds) resolve(undefined);
    for (const reply of await Promise.all(both)) expect(await reply.text()).toBe("x\n");
    expect([begun, ended]).toEqual([2, 2]);
  });

  it("ends for a reader that takes nothing once two newer pages exist", { tags: ["heavy"] }, async () => {
    await using served = await serve({
      exposition: async function* () {
        yield await Promise.resolve("x".repeat(20_000_000));
      },
    });
    const [slow] = (await once(get(`http://127.0.0.1:${served.port}/metrics`), "response")) as [
      IncomingMessage,
    ];
    const failed = once(slow, "error");
    for (let newer = 0; newer < 2; newer += 1) {
      await served.clock.advance(1_000);
      await (await served.get("/metrics")).text();
    }
    slow.resume();
    expect((await failed)[0]).toMatchObject({ code: "ECONNRESET" });
    expect(served.logged).toEqual([]);
  });

  it("that fails is a bug: the answer has its code alone, and it is logged", async () => {
    // eslint-disable-next-line require-yield -- it fails before.
    async function* exposition() {
      await Promise.reject(new Error("odd"));
    }
    await using served = await serve({ exposition });
    const reply = await served.get("/metrics");
    expect(reply.status).toBe(500);
    const shown = await errorIn(reply);
    expect(shown).toMatchObject({ code: "ATTACHE_INTERNAL" });
    expect(JSON.stringify(shown)).not.toContain("odd");
    expect(served.logged.join("")).toMatch(/"level":"error".*"message":"odd"/);
  });

  it("that fails on the way is not mistaken for all", async () => {
    await using served = await serve({
      exposition: async function* () {
        yield "first\n";
        await Promise.reject(new Error("odd"));
      },
    });
    expect((await served.get("/metrics")).status).toBe(500);
  });
});

describe("a reader who goes away", () => {
  const requested = async ({ port }: Served) => {
    const request = get(`http://127.0.0.1:${port}/metrics`).on("error", () => undefined);
    const [socket] = (await once(request, "socket")) as [Socket];
    return { request, closed: once(socket, "close") };
  };

  it("is no bug, while the page is rendered or sent", { tags: ["heavy"] }, async () => {
    const begun = Promise.withResolvers<undefined>();
    const hold = Promise.withResolvers<undefined>();
    await using served = await serve({
      exposition: async function* () {
        begun.resolve(undefined);
        await hold.promise;
        yield "x".repeat(20_000_000);
      },
    });
    const early = await requested(served);
    await begun.promise;
    early.request.destroy();
    await early.closed;
    hold.resolve(undefined);
    const late = await requested(served);
    await once(late.request, "response");
    late.request.destroy();
    await late.closed;
    // The server has answered it after both.
    expect((await served.get("/livez")).status).toBe(200);
    expect(served.logged).toEqual([]);
  });
});

describe("any other request", () => {
  it.each(["/livez", "/readyz", "/metrics"])("HEAD %s has the head of GET and no body", async (path) => {
    await using served = await serve();
    const [head, get] = [await served.get(path, { method: "HEAD" }), await served.get(path)];
    expect([head.status, head.headers.get("content-type"), await head.text()]).toEqual([
      200,
      get.headers.get("content-type"),
      "",
    ]);
    await get.text();
  });

  it.each(["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])(
    "%s is refused, whatever it brings",
    async (method) => {
      await using served = await serve();
      for (const path of ["/metrics", "/elsewhere"]) {
        const init =
          method === "OPTIONS"
            ? {}
            : { body: "x".repeat(100), headers: { "content-type": "application/unheard" } };
        const reply = await served.get(path, { method, ...init });
        expect([reply.status, reply.headers.get("allow"), reply.headers.get("connection")]).toEqual([
          405,
          "GET, HEAD",
          "close",
        ]);
        expect(await errorIn(reply)).toMatchObject({
          code: "ATTACHE_SERVER_METHOD",
          message: `${method} is not served here`,
        });
      }
    },
  );

  it("for another path gets the list of paths", async () => {
    await using served = await serve();
    const reply = await served.get("/metrics/../secret");
    expect(reply.status).toBe(404);
    expect(await errorIn(reply)).toEqual({
      code: "ATTACHE_SERVER_NOT_FOUND",
      message: "there is nothing at this path",
      remedy: "Request /livez, /readyz or /metrics.",
    });
  });

  it.each([
    ["that is no HTTP", "hello\r\n\r\n", 400],
    ["with a header of 10 kB", `GET /livez HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(10_000)}\r\n\r\n`, 431],
    ["with a path of 10 kB", `GET /${"x".repeat(10_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
    [
      "with two lengths",
      "GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      400,
    ],
    ["with a malformed path", "GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ])("%s is refused in the same form, and the connection ends", async (_what, bytes, status) => {
    await using served = await serve();
    const reply = await served.raw(bytes);
    expect(reply).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(reply).toMatch(/\r\nconnection: close\r\n/i);
    expect(JSON.parse(reply.slice(reply.indexOf("\r\n\r\n")))).toMatchObject({
      error: { code: "ATTACHE_SERVER_REQUEST" },
    });
  });

  it("learns nothing of what serves", async () => {
    await using served = await serve();
    for (const path of ["/livez", "/metrics", "/elsewhere"]) {
      const reply = await served.get(path);
      expect([reply.headers.get("server"), reply.headers.get("x-powered-by")]).toEqual([null, null]);
      await reply.text();
    }
  });
});

describe("connections", () => {
  const open = async ({ port }: Served) => {
    const socket = connect(port, "127.0.0.1").on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  };
  const livez = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";

  it.each<[string, (socket: Socket) => void]>([
    ["send nothing", () => undefined],
    ["send a request that never ends", (socket: Socket) => void socket.write("GET /livez HTTP/1.1\r\n")],
    ["have had their answer", (socket: Socket) => void socket.write(livez)],
  ])("are at most 64: of those that %s, the oldest gives way to a new one", async (_what, begin) => {
    await using served = await serve();
    const held = await Promise.all(
      Array.from({ length: 64 }, async () => {
        const socket = await open(served);
        begin(socket.resume());
        return socket;
      }),
    );
    for (let round = 1; round <= 3; round += 1) {
      const socket = await open(served);
      socket.write(livez);
      const [answer] = (await once(socket, "data")) as [Buffer];
      expect(answer.toString()).toMatch(/^HTTP\/1.1 200 /);
      await vi.waitFor(() => expect(held.filter(({ destroyed }) => destroyed)).toHaveLength(round));
      held.push(socket);
    }
    for (const socket of held) socket.destroy();
  });

  it("that wait for an answer stay, and a 65th is closed, while the probes' own listener answers", async () => {
    const hold = Promise.withResolvers<undefined>();
    await using served = await serve({
      exposition: async function* () {
        await hold.promise;
        yield "x\n";
      },
    });
    const waiting = await Promise.all(
      Array.from({ length: 64 }, async () => {
        const socket = await open(served);
        socket.write("GET /metrics HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
        // Sent when the server has taken up the request.
        await once(socket, "readable");
        return socket;
      }),
    );
    expect(await served.raw(livez)).toBe("");
    expect((await fetch(`${served.probes}/livez`)).status).toBe(200);
    hold.resolve(undefined);
    for (const socket of waiting) expect(await text(socket)).toMatch(/^HTTP\/1.1 100 [^]*^HTTP\/1.1 200 /m);
  });

  it("end while a request trickles in", { tags: ["realtime"] }, async () => {
    await using served = await serve();
    const socket = connect(served.port, "127.0.0.1");
    socket.on("error", () => undefined);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write("GET /livez HTTP/1.1\r\nHost: a\r\nX: ");
    // It stops before the answer can come: a write to a closed connection fails, and what was not read by
    // then is lost. What stalls is ended by another bound, without an answer.
    let left = 4;
    const trickle = setInterval(() => {
      socket.write("x");
      if ((left -= 1) === 0) clearInterval(trickle);
    }, 1_000);
    const [reply] = (await once(socket, "data")) as [Buffer];
    clearInterval(trickle);
    expect(reply.toString()).toMatch(/^HTTP\/1.1 408 /);
    await closed;
  });
});

describe("the end", () => {
  it("lets a request that is under way have its whole answer", async () => {
    const begun = Promise.withResolvers<undefined>();
    const hold = Promise.withResolvers<undefined>();
    const served = await serve({
      exposition: async function* () {
        begun.resolve(undefined);
        await hold.promise;
        yield "done\n";
      },
    });
    const reply = served.get("/metrics");
    await begun.promise;
    const ended = served[Symbol.asyncDispose]();
    await served.clock.sleeping(1);
    hold.resolve(undefined);
    expect(await (await reply).text()).toBe("done\n");
    await served.clock.advance(1_000);
    await ended;
    await expect(served.get("/livez")).rejects.toThrow();
  });

  it("comes after a second, whatever still waits", async () => {
    const begun = Promise.withResolvers<undefined>();
    const never = Promise.withResolvers<undefined>();
    const served = await serve({
      exposition: async function* () {
        begun.resolve(undefined);
        await never.promise;
        yield "never\n";
      },
    });
    const idle = connect(served.port, "127.0.0.1");
    await once(idle, "connect");
    const reply = served.get("/metrics");
    await begun.promise;
    const ended = served[Symbol.asyncDispose]();
    await served.clock.sleeping(1);
    await served.clock.advance(1_000);
    await ended;
    await expect(reply).rejects.toThrow();
    if (!idle.destroyed) await once(idle, "close");
  });

  it("comes at once when no request waits", async () => {
    const served = await serve();
    await (await served.get("/livez")).text();
    await served[Symbol.asyncDispose]();
    expect(served.clock.sleeps).toEqual([]);
  });
});

describe("an address that cannot be listened on", () => {
  const start = (listen: { host: string; port: number }) => {
    const state = stateWith();
    return startServer({
      listen,
      state,
      metrics: metricsFor(state),
      logger: createLogger("silent"),
      clock: manualClock(),
    });
  };

  it("is reported with its port when it is in use", async () => {
    await using served = await serve();
    const error: unknown = await start({ host: "127.0.0.1", port: served.port }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(ServerError);
    expect(error).toMatchObject({
      code: "ATTACHE_SERVER_LISTEN",
      problem: `cannot serve on 127.0.0.1:${served.port}: the port is in use`,
      cause: { code: "EADDRINUSE" },
    });
  });

  it("is reported when no interface has it, or when it is no address", async () => {
    await expect(start({ host: "192.0.2.1", port: 0 })).rejects.toThrow(
      "cannot serve on 192.0.2.1:0: no interface of this machine has the address",
    );
    await expect(start({ host: "no.such.name.invalid", port: 0 })).rejects.toMatchObject({
      code: "ATTACHE_SERVER_LISTEN",
    });
  });

  it("may be a name, and is one address then", async () => {
    const state = stateWith();
    await using server = await startServer({
      listen: { host: "localhost", port: 0 },
      state,
      metrics: metricsFor(state),
      logger: createLogger("silent"),
      clock: manualClock(),
    });
    expect(["127.0.0.1", "::1"]).toContain(server.address);
    expect((await fetch(`http://localhost:${server.port}/livez`)).status).toBe(200);
  });
});
