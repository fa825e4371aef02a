import { once } from "node:events";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { serveHttp } from "../../test/fixtures/http-server.ts";
import { systemClock } from "../runtime/clock.ts";
import { type KubeClientOptions, openKubeClient, type WatchEvent } from "./client.ts";
import { accessOf, type Principal } from "./access.ts";

const path = "/api/v1/namespaces/edge/secrets";
const get = { method: "GET", path } as const;

async function client(answer: RequestListener, options: Partial<KubeClientOptions & Principal> = {}) {
  const server = await serveHttp(answer);
  const principal = { server, namespace: "edge", token: { text: "t0ken" }, ...options };
  const api = openKubeClient(accessOf(principal, options.clock ?? systemClock), {
    userAgent: "attache/test",
    ...options,
  });
  onTestFinished(() => api[Symbol.asyncDispose]());
  return api;
}

function json(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  return JSON.parse((await request.toArray()).join("")) as unknown;
}

describe("a request", () => {
  it("says who asks, what it sends and what it wants", async () => {
    const api = await client((request, response) => {
      void bodyOf(request).then((body) =>
        json(response, 200, { method: request.method, url: request.url, headers: request.headers, body }),
      );
    });
    const seen = await api.request<object>({
      method: "PATCH",
      path,
      query: { fieldManager: "attache", force: true, dryRun: undefined },
      body: { kind: "Secret" },
      contentType: "apply",
      accept: "metadata",
    });
    expect(seen).toMatchObject({
      method: "PATCH",
      url: `${path}?fieldManager=attache&force=true`,
      headers: {
        authorization: "Bearer t0ken",
        "user-agent": "attache/test",
        accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        "content-type": "application/apply-patch+yaml",
      },
      body: { kind: "Secret" },
    });
  });

  it("uses a connection again", async () => {
    const ports = new Set<number | undefined>();
    const api = await client(
      (request, response) => {
        ports.add(request.socket.remotePort);
        json(response, 200, {});
      },
      { maxInFlight: 1 },
    );
    for (let i = 0; i < 5; i += 1) await api.request(get);
    expect(ports.size).toBe(1);
  });

  it("waits for its turn when enough are in flight", async () => {
    let inFlight = 0;
    const seen: number[] = [];
    const api = await client(
      (_request, response) => {
        inFlight += 1;
        seen.push(inFlight);
        setImmediate(() => {
          inFlight -= 1;
          json(response, 200, {});
        });
      },
      { maxInFlight: 3 },
    );
    await Promise.all(Array.from({ length: 20 }, () => api.request(get)));
    expect(seen).toHaveLength(20);
    expect(Math.max(...seen)).toBeLessThanOrEqual(3);
  });

  it("reports each request with its verb and status, also one without an answer", async () => {
    const seen: string[] = [];
    const api = await client(
      (request, response) => {
        if (request.method === "DELETE") request.socket.destroy();
        else json(response, request.method === "POST" ? 409 : 200, {});
      },
      { requested: (verb, status) => seen.push(`${verb} ${status ?? "none"}`) },
    );
    await api.request(get);
    await api.request({ method: "GET", path: `${path}/leaf` });
    await api.request({ method: "PATCH", path: `${path}/leaf`, body: {}, contentType: "apply" });
    await api.request({ method: "PATCH", path: `${path}/leaf`, body: {}, contentType: "merge" });
    await expect(api.request({ method: "POST", path, body: {} })).rejects.toThrow();
    await expect(api.request({ method: "DELETE", path: `${path}/leaf` })).rejects.toThrow();
    await expect(Array.fromAsync(api.watch({ path }, new AbortController().signal))).resolves.toEqual([]);
    expect(seen).toEqual([
      ...["list 200", "get 200", "apply 200", "patch 200", "create 409", "delete none", "watch 200"],
    ]);
  });

  it.each(["", "/", "/k8s/clusters/c-1", "/k8s/clusters/c-1/"])(
    "goes below the path of the server, also as a watch: %j",
    async (prefix) => {
      const asked: (string | undefined)[] = [];
      const server = await serveHttp((request, response) => {
        asked.push(request.url);
        json(response, 200, {});
      });
      const principal = { server: server + prefix, namespace: "edge" };
      await using api = openKubeClient(accessOf(principal, systemClock), { userAgent: "attache/test" });
      await api.request({ method: "GET", path: "/api/v1/pods", query: { limit: 1 } });
      await Array.fromAsync(api.watch({ path: "/api/v1/pods" }, new AbortController().signal)).catch(
        () => [],
      );
      const below = prefix.replace(/\/$/, "");
      expect(asked).toEqual([`${below}/api/v1/pods?limit=1`, `${below}/api/v1/pods?watch=true`]);
    },
  );

  it("shares one timer with all that are in flight, and leaves none behind", async () => {
    const clock = manualClock();
    const answers: ServerResponse[] = [];
    const api = await client((_request, response) => void answers.push(response), { clock });
    const asked = Array.from({ length: 20 }, () => api.request(get));
    await vi.waitFor(() => expect(answers).toHaveLength(20));
    expect(clock.sleeps).toEqual([30_000]);
    for (const answer of answers) json(answer, 200, {});
    await Promise.all(asked);
    expect(clock.sleeps).toEqual([]);
  });

  it("knows how far the other clock is ahead", async () => {
    const clock = manualClock("2026-01-01T00:00:00Z");
    const api = await client(
      (_request, response) => json(response, 200, {}, { date: "Thu, 01 Jan 2026 00:00:05 GMT" }),
      { clock },
    );
    expect(api.aheadMs).toBeUndefined();
    await api.request(get);
    expect(api.aheadMs).toBe(5000);
  });
});

describe("a request that fails", () => {
  it("is sent once more with what authenticates now, when the server does not know the token", async () => {
    const seen: (string | undefined)[] = [];
    const api = await client((request, response) => {
      seen.push(request.headers.authorization);
      json(response, seen.length === 2 ? 200 : 401, { kind: "Status" });
    });
    await api.request({ method: "POST", path, body: {} });
    expect(seen).toHaveLength(2);
    await expect(api.request(get)).rejects.toMatchObject({ code: "ATTACHE_KUBERNETES_UNAUTHENTICATED" });
    expect(seen).toHaveLength(4);
  });

  it("is sent once more when a kept connection breaks, but only if it changes nothing", async () => {
    let count = 0;
    const api = await client((request, response) => {
      count += 1;
      if (count === 2 || count === 4) request.socket.destroy();
      else json(response, 200, {});
    });
    await api.request(get);
    await api.request(get);
    expect(count).toBe(3);
    await expect(api.request({ method: "PATCH", path, body: {} })).rejects.toMatchObject({
      code: "ATTACHE_KUBERNETES_UNREACHABLE",
    });
    expect(count).toBe(4);
  });

  it("tells how long the server wants to be left alone", async () => {
    const api = await client((_request, response) =>
      json(response, 429, { kind: "Status", message: "too many" }, { "retry-after": "3" }),
    );
    await expect(api.request(get)).rejects.toMatchObject({
      code: "ATTACHE_KUBERNETES_THROTTLED",
      retryAfterMs: 3000,
    });
  });

  it("does not show the token that the server repeats", async () => {
    const api = await client((request, response) =>
      json(response, 500, { kind: "Status", message: `bad: ${String(request.headers.authorization)}` }),
    );
    await expect(api.request(get)).rejects.toThrow("bad: Bearer [removed]");
  });

  it("ends when its time is up, and when its caller leaves", async () => {
    const clock = manualClock();
    const api = await client(() => undefined, { clock, timeoutMs: 5000 });
    const late = expect(api.request(get)).rejects.toMatchObject({ code: "ATTACHE_KUBERNETES_TIMEOUT" });
    await clock.sleeping(1);
    await clock.advance(5000);
    await late;

    const caller = new AbortController();
    const left = api.request({ ...get, signal: caller.signal });
    await clock.sleeping(1);
    caller.abort(new Error("enough"));
    await expect(left).rejects.toThrow("enough");
    expect(clock.sleeps).toEqual([]);
  });

  it.each([
    ["no JSON", "<html>", "ATTACHE_KUBERNETES_MALFORMED"],
    ["cut", undefined, "ATTACHE_KUBERNETES_UNREACHABLE"],
  ])("names an answer that is %s", async (_what, text, code) => {
    const api = await client((request, response) => {
      if (text !== undefined) response.end(text);
      else response.writeHead(200, { "content-length": 100 }).write("{", () => request.socket.destroy());
    });
    await expect(api.request(get)).rejects.toMatchObject({ code });
  });

  it("does not read an answer without end", { tags: ["heavy"] }, async () => {
    const api = await client((_request, response) => {
      const more = () => {
        while (response.write(Buffer.alloc(1024 * 1024, " ")));
        response.once("drain", more);
      };
      more();
    });
    await expect(api.request(get)).rejects.toMatchObject({ code: "ATTACHE_KUBERNETES_MALFORMED" });
  });

  it("names a server that is not there, or speaks no HTTP", async () => {
    const gone = await client(() => undefined, { server: "http://127.0.0.1:1" });
    await expect(gone.request(get)).rejects.toMatchObject({ code: "ATTACHE_KUBERNETES_UNREACHABLE" });
    const odd = await client((request) => void request.socket.end("SSH-2.0-OpenSSH\r\n"));
    await expect(odd.request(get)).rejects.toMatchObject({ code: "ATTACHE_KUBERNETES_MALFORMED" });
  });
});

describe("a watch", () => {
  const event = (name: string) => JSON.stringify({ type: "ADDED", object: { metadata: { name } } });

  async function watched(parts: readonly string[]): Promise<WatchEvent<unknown>[]> {
    const api = await client((_request, response) => {
      // One write after the other reaches the client, so that lines come in pieces.
      void (async () => {
        for (const part of parts) await new Promise((resolve) => response.write(part, resolve));
        response.end();
      })();
    });
    return Array.fromAsync(api.watch({ path }, new AbortController().signal));
  }

  it("yields each line, in whatever pieces it comes, until the server ends it", async () => {
    const lines = `${event("a")}\n${event("größer")}\n${event("c")}\n`;
    expect(await watched(lines.match(/.{1,7}/gsu) ?? [])).toEqual(
      ["a", "größer", "c"].map((name) => ({ type: "ADDED", object: { metadata: { name } } })),
    );
  });

  it("fails as the server says in the middle of it", async () => {
    const status = {
      kind: "Status",
      code: 410,
      reason: "Expired",
      message: "too old resource version: 1 (5)",
    };
    await expect(
      watched([`${event("a")}\n`, `${JSON.stringify({ type: "ERROR", object: status })}\n`]),
    ).rejects.toMatchObject({ code: "ATTACHE_KUBERNETES_EXPIRED", status: 410 });
  });

  it.each([
    ["no JSON", "{\n"],
    ["no event", '{"type":"ELSE","object":{}}\n'],
    ["an error without a reason", '{"type":"ERROR","object":{}}\n'],
    ["endless", " ".repeat(9 * 1024 * 1024)],
  ])("names a line that is %s", async (_what, text) => {
    await expect(watched([text])).rejects.toMatchObject({ code: "ATTACHE_KUBERNETES_MALFORMED" });
  });

  it("is not bound in time once it has begun, takes no turn, and ends with its signal and its connection", async () => {
    const clock = manualClock();
    const closed = Promise.withResolvers<unknown>();
    const api = await client(
      (request, response) => {
        if (request.url?.includes("watch=true") === true) {
          closed.resolve(once(request.socket, "close"));
          response.write(`${event("a")}\n`);
        } else json(response, 200, {});
      },
      { clock, maxInFlight: 1 },
    );
    const signal = new AbortController();
    const events = api.watch({ path }, signal.signal)[Symbol.asyncIterator]();
    await events.next();
    expect(clock.sleeps).toEqual([]);
    await api.request(get);
    const next = events.next();
    signal.abort(new Error("enough"));
    await expect(next).rejects.toThrow("enough");
    await closed.promise;
  });

  it("gives its connection back when its reader leaves", async () => {
    const closed = Promise.withResolvers<unknown>();
    const api = await client((request, response) => {
      closed.resolve(once(request.socket, "close"));
      response.write(`${event("a")}\n`);
    });
    for await (const _event of api.watch({ path }, new AbortController().signal)) break;
    await closed.promise;
  });
});
