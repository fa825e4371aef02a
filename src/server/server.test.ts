import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { connect } from "node:net";
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
  readonly clock: ManualClock;
  readonly logged: string[];
  readonly metrics: Metrics;
  get(path: string, init?: RequestInit): Promise<Response>;
  /** Sends `bytes` as they are, and resolves with all that comes back until the server closes the connection. */
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
  const server = await startServer({ listen: { host: "127.0.0.1", port: 0 }, metrics, state, logger, clock });
  return {
    port: server.port,
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

describe("/metrics", () => {
  it("is in the format of Prometheus", async () => {
    await using served = await serve();
    served.metrics.applied(3);
    const reply = await served.get("/metrics");
    expect([reply.status, reply.headers.get("content-type")]).toEqual([200, contentTypes.prometheus]);
    const body = await reply.text();
    expect(body).toContain("\nattache_store_writes_total 3\n");
    expect(body).toContain(
      'attache_leaf_not_after_timestamp_seconds{namespace="emissary",name="storefront",mesh="consul"} 1767484800\n',
    );
  });

  it("is OpenMetrics for whoever asks for it", async () => {
    await using served = await serve();
    const reply = await served.get("/metrics", {
      headers: { accept: "application/openmetrics-text;version=1.0.0,*/*;q=0.1" },
    });
    expect(reply.headers.get("content-type")).toBe(contentTypes.openmetrics);
    expect(await reply.text()).toMatch(/\n# EOF\n$/);
  });

  it("is made piece by piece, as fast as the reader takes it", async () => {
    let pieces = 0;
    async function* exposition() {
      for (; ; pieces += 1) yield await Promise.resolve("x".repeat(100_000));
    }
    await using served = await serve({ exposition });
    const [reply] = (await once(get(`http://127.0.0.1:${served.port}/metrics`), "response")) as [
      IncomingMessage,
    ];
    await vi.waitFor(async () => {
      const before = pieces;
      await new Promise(setImmediate);
      expect(pieces).toBe(before);
    });
    const filled = pieces;
    let read = 0;
    for await (const chunk of reply as AsyncIterable<Buffer>) if ((read += chunk.length) > 50_000_000) break;
    expect(filled).toBeLessThan(300);
    expect(pieces).toBeGreaterThan(400);
  });

  it("that fails is a bug, told by its code alone and logged", async () => {
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
    await expect(served.get("/metrics").then((reply) => reply.text())).rejects.toThrow();
  });
});

describe("a reader who goes away", () => {
  it("is no bug", async () => {
    const over = Promise.withResolvers<undefined>();
    await using served = await serve({
      exposition: async function* () {
        try {
          for (;;) yield await Promise.resolve("x".repeat(100_000));
        } finally {
          over.resolve(undefined);
        }
      },
    });
    const [reply] = (await once(get(`http://127.0.0.1:${served.port}/metrics`), "response")) as [
      IncomingMessage,
    ];
    reply.destroy();
    await over.promise;
    await new Promise(setImmediate);
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

  it("for another path is told what there is", async () => {
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
  it("are at most 64, and others find place when they end", async () => {
    await using served = await serve();
    const sockets = await Promise.all(
      Array.from({ length: 64 }, async () => {
        const socket = connect(served.port, "127.0.0.1");
        await once(socket, "connect");
        return socket;
      }),
    );
    expect(await served.raw("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")).toBe("");
    for (const socket of sockets) socket.destroy();
    await vi.waitFor(async () => expect((await served.get("/livez")).status).toBe(200));
  });

  it("end while a request trickles in", { tags: ["realtime"] }, async () => {
    await using served = await serve();
    const socket = connect(served.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write("GET /livez HTTP/1.1\r\nHost: a\r\nX: ");
    // What stalls is ended by another bound.
    const trickle = setInterval(() => socket.write("x"), 1_000);
    const [reply] = (await once(socket, "data")) as [Buffer];
    clearInterval(trickle);
    expect(reply.toString()).toMatch(/^HTTP\/1.1 408 /);
    await once(socket, "close");
  });
});

describe("the end", () => {
  it("lets a request that is under way have its whole answer", async () => {
    const hold = Promise.withResolvers<undefined>();
    const served = await serve({
      exposition: async function* () {
        yield "begun\n";
        await hold.promise;
        yield "done\n";
      },
    });
    const reply = await served.get("/metrics");
    const ended = served[Symbol.asyncDispose]();
    await served.clock.sleeping(1);
    hold.resolve(undefined);
    expect(await reply.text()).toBe("begun\ndone\n");
    await served.clock.advance(1_000);
    await ended;
    await expect(served.get("/livez")).rejects.toThrow();
  });

  it("comes after a second, whoever still waits", async () => {
    const never = Promise.withResolvers<undefined>();
    const served = await serve({
      exposition: async function* () {
        yield "begun\n";
        await never.promise;
      },
    });
    const idle = connect(served.port, "127.0.0.1");
    await once(idle, "connect");
    const reply = await served.get("/metrics");
    const ended = served[Symbol.asyncDispose]();
    await served.clock.sleeping(1);
    await served.clock.advance(1_000);
    await ended;
    await expect(reply.text()).rejects.toThrow();
    if (!idle.destroyed) await once(idle, "close");
  });

  it("comes at once when nobody waits", async () => {
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

  it("is told with its port, when it is in use", async () => {
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

  it("is told when it is nobody's of this machine, or no address", async () => {
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
