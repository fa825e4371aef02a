import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { consoleAssets } from "#console-assets";
import { bytesInUse } from "../../test/fixtures/heap.ts";
import { manualClock, type ManualClock } from "../../test/fixtures/clock.ts";
import {
  condition,
  consoleIdentity,
  serveConsole,
  type Shown,
  shown,
  unreachable,
} from "../../test/fixtures/console.ts";
import { stateWith } from "../../test/fixtures/state.ts";
import { createAuthority } from "../mesh/development/authority.ts";
import { MeshError } from "../mesh/errors.ts";
import { ServerError } from "../server/failure.ts";
import { History } from "./history.ts";
import type { IdentityChanges, IdentityDetail, Overview } from "./page-data.ts";
import { maxReaders } from "./server.ts";

interface Served extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly clock: ManualClock;
  readonly source: Shown;
  readonly history: History;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  changes(since?: string): Promise<IdentityChanges>;
  overview(): Promise<Overview>;
}

type Admit = NonNullable<Parameters<typeof serveConsole>[0]["admit"]>;

async function serve(changes: Partial<Shown> = {}, admit?: Admit): Promise<Served> {
  const clock = manualClock();
  const source = shown(changes);
  const history = new History(clock, ["consul"]);
  const server = await serveConsole({ source, clock, history, ...(admit && { admit }) });
  const url = `http://127.0.0.1:${server.port}`;
  const served: Served = {
    ...{ url, clock, source, history },
    port: server.port,
    get: (path, headers) => fetch(url + path, { ...(headers && { headers }) }),
    async changes(since) {
      // A request within half a second gets what was seen then.
      await clock.advance(1_000);
      const query = since === undefined ? "" : `?since=${since}`;
      return (await (await served.get(`/api/identities${query}`)).json()) as IdentityChanges;
    },
    async overview() {
      await clock.advance(1_000);
      using feed = await follow(url);
      return await feed.next();
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
  return served;
}

interface Followed extends Disposable {
  next(): Promise<Overview>;
  /** Resolves when the server has ended it in order. */
  untilEnd(): Promise<void>;
}

/** Reads the feed as a page does. */
async function follow(url: string): Promise<Followed> {
  const [response] = (await once(get(`${url}/api/events`, { agent: false }), "response")) as [
    IncomingMessage,
  ];
  const parts = response.setEncoding("utf8").iterator() as AsyncIterableIterator<string>;
  let text = "";
  return {
    async untilEnd() {
      while ((await parts.next()).done !== true);
    },
    async next() {
      while (!text.includes("\n\n")) text += String((await parts.next()).value);
      const [message = "", ...rest] = text.split("\n\n");
      text = rest.join("\n\n");
      return JSON.parse(message.replace("data: ", "")) as Overview;
    },
    [Symbol.dispose]: () => void response.destroy(),
  };
}

describe("the page", () => {
  it("comes with a policy that lets it run its own script alone, and sets no cookie", async () => {
    await using served = await serve();
    const reply = await served.get("/");
    const policy = reply.headers.get("content-security-policy") ?? "";
    expect(policy.split("; ")).toEqual(
      expect.arrayContaining([
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
      ]),
    );
    expect(reply.headers.get("set-cookie")).toBeNull();
    expect(reply.headers.get("cache-control")).toBe("no-store");
    const html = await reply.text();
    expect(html).not.toMatch(
      /<script(?! type="module" src="\.\/)|<style|style=|\son\w+=|https?:\/\/(?!www\.w3\.org)/,
    );
  });

  it("names its files by their content, and they may be kept", async () => {
    await using served = await serve();
    const html = await (await served.get("/")).text();
    const [, script = ""] = /src="\.(\/console-[0-9a-f]{12}\.js)"/.exec(html) ?? [];
    const reply = await served.get(script);
    expect(reply.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    expect(reply.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
    expect(await reply.text()).toBe("const script = 1;");
  });

  it("is sent compressed to a browser", async () => {
    await using served = await serve();
    const [response] = (await once(
      get(served.url, { headers: { "accept-encoding": "gzip, br" } }),
      "response",
    )) as [IncomingMessage];
    const parts = (await response.toArray()) as Buffer[];
    expect(response.headers["content-encoding"]).toBe("gzip");
    expect(gunzipSync(Buffer.concat(parts)).toString()).toMatch(/^<!doctype html>/);
  });

  it("has at most 40 KB, compressed", { tags: ["heavy"] }, async () => {
    const { script, style } = await consoleAssets();
    expect(gzipSync(script).length + gzipSync(style).length).toBeLessThan(40_000);
    expect(script + style).not.toMatch(/https?:\/\/(?!www\.w3\.org)/);
  });
});

describe("requests", () => {
  it.each(["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])("%s is refused", async (method) => {
    await using served = await serve();
    const reply = await fetch(`${served.url}/api/identities`, { method });
    expect([reply.status, reply.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  it.each(["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""])(
    "for the host %j are refused, as another site's page makes them",
    async (host) => {
      await using served = await serve();
      for (const path of ["/", "/api/events", "/api/identities", "/api/identity?name=emissary/storefront"]) {
        const [response] = (await once(
          get(served.url + path, { headers: { host }, setHost: false }),
          "response",
        )) as [IncomingMessage];
        response.resume();
        // Without a host it is no HTTP.
        expect([400, 403]).toContain(response.statusCode);
      }
    },
  );

  it.each(["cross-site", "same-site"])(
    "for data by a page of another origin (%s) are refused, as it could hold all feeds",
    async (site) => {
      await using served = await serve();
      for (const path of ["/api/events", "/api/identities", "/api/identity?name=emissary/storefront"]) {
        const reply = await served.get(path, { "sec-fetch-site": site });
        expect([reply.status, reply.headers.get("access-control-allow-origin")]).toEqual([403, null]);
      }
      expect((await served.get("/", { "sec-fetch-site": site })).status).toBe(200);
    },
  );

  it.each(["localhost", "localhost:9466", "127.0.0.1:9466", "[::1]:9466"])(
    "for the host %s are served",
    async (host) => {
      await using served = await serve();
      const [response] = (await once(get(served.url, { headers: { host } }), "response")) as [
        IncomingMessage,
      ];
      response.resume();
      expect(response.statusCode).toBe(200);
    },
  );
});

describe("the identities", () => {
  it("come all at first, then those that have changed", async () => {
    const [one, other] = [consoleIdentity("one"), consoleIdentity("other")];
    await using served = await serve({ identities: [one, other] });
    const first = await served.changes();
    expect(first).toMatchObject({
      isComplete: true,
      rows: [{ key: "emissary/one" }, { key: "emissary/other" }],
    });
    expect(await served.changes(first.version)).toEqual({ ...first, isComplete: false, rows: [] });

    served.source.identities = [
      one,
      consoleIdentity("other", { conditions: [condition("Ready"), unreachable] }),
    ];
    const second = await served.changes(first.version);
    expect(second).toMatchObject({
      isComplete: false,
      rows: [{ key: "emissary/other", level: "warning", reason: "Unreachable" }],
    });

    served.source.identities = [one];
    expect(await served.changes(second.version)).toMatchObject({ removed: ["emissary/other"], rows: [] });
  });

  it("come all to a page of another process, and to one that has missed too much", async () => {
    await using served = await serve();
    const { version } = await served.changes();
    expect(await served.changes("zzzzzzzz.1")).toMatchObject({ isComplete: true, rows: [{}] });
    expect(await served.changes(`${version}0`)).toMatchObject({ isComplete: true });
    const many = Array.from({ length: 1_500 }, (_, index) => consoleIdentity(`svc-${index}`));
    served.source.identities = many;
    const { version: then } = await served.changes();
    served.source.identities = [];
    expect(await served.changes(then)).toMatchObject({ isComplete: true, rows: [] });
  });

  it("alarm once their leaf has ended, although their status says nothing", async () => {
    await using served = await serve();
    const { version } = await served.changes();
    await served.clock.advance(4 * 86_400_000);
    expect(await served.changes(version)).toMatchObject({ rows: [{ level: "alarm", reason: "Expired" }] });
  });

  it("are sent compressed to a browser, whole", async () => {
    const identities = Array.from({ length: 1_000 }, (_, index) => consoleIdentity(`svc-${index}`));
    await using served = await serve({ identities });
    await served.clock.advance(1_000);
    const url = `${served.url}/api/identities`;
    const [response] = (await once(get(url, { headers: { "accept-encoding": "gzip" } }), "response")) as [
      IncomingMessage,
    ];
    const body = Buffer.concat((await response.toArray()) as Buffer[]);
    expect(response.headers["content-encoding"]).toBe("gzip");
    const { rows } = JSON.parse(gunzipSync(body).toString()) as IdentityChanges;
    expect(rows).toHaveLength(1_000);
    expect(body.length).toBeLessThan(JSON.stringify(rows).length / 5);
  });

  it("say which root has issued the chain", async () => {
    const authority = await createAuthority({ clock: manualClock(), trustDomain: "example.consul" });
    const [other] = authority.roots();
    await authority.rotateRoot();
    const { chain } = await authority.issue({ uri: "spiffe://example.consul/web" });
    const bundle = authority.roots().map(({ certificate }) => certificate);
    expect(other).toBeDefined();
    await using served = await serve({
      identities: [{ ...consoleIdentity("web"), certificates: { chain, bundle } }],
    });
    const reply = await served.get("/api/identity?name=emissary/web");
    const { roots } = (await reply.json()) as IdentityDetail;
    expect(roots.filter(({ isIssuer }) => isIssuer)).toHaveLength(1);
    const issuer = roots.find(({ isIssuer }) => isIssuer);
    expect(issuer?.name.split("\n")).toEqual(chain.at(-1)?.issuer.split("\n"));
  });

  it("have a page each", async () => {
    await using served = await serve();
    served.history.published({
      identity: "emissary/storefront",
      mesh: "consul",
      cause: "root",
      propagationMs: 1,
    });
    const reply = await served.get("/api/identity?name=emissary/storefront");
    expect((await reply.json()) as IdentityDetail).toMatchObject({
      row: { key: "emissary/storefront", level: "good" },
      conditions: [{ type: "Ready", level: "good" }, {}, {}],
      published: {
        secret: "storefront-mesh-cert",
        caSecret: "storefront-mesh-ca",
        tlsContext: "storefront",
      },
      rotations: [{ at: "2026-01-01T00:00:00.000Z", cause: "root" }],
      command: "kubectl describe -n emissary meshcertificates.attache.dev storefront",
    });
    expect((await served.get("/api/identity?name=emissary/none")).status).toBe(404);
  });
});

describe("the first view", () => {
  it("says that all is well", async () => {
    await using served = await serve();
    expect(await served.overview()).toMatchObject({
      verdict: { level: "good", text: "All is well" },
      answers: { working: { level: "good" }, exposed: { level: "good" }, current: { level: "good" } },
      counts: { good: 1, waiting: 0, warning: 0, alarm: 0 },
      causes: [],
    });
  });

  it("shows two hundred identities with one problem as one cause, with the command to run", async () => {
    const conditions = [condition("Ready"), unreachable];
    const identities = Array.from({ length: 200 }, (_, index) =>
      consoleIdentity(`svc-${index}`, { conditions }),
    );
    const error = new MeshError("ATTACHE_MESH_UNREACHABLE", "consul:8501 refuses connections");
    await using served = await serve({
      identities,
      meshes: [{ name: "consul", connection: { connected: false, error } }],
    });
    const { verdict, causes, meshes } = await served.overview();
    expect(verdict).toMatchObject({ level: "warning" });
    expect(causes).toMatchObject([
      {
        count: 200,
        mesh: "consul",
        reason: "Unreachable",
        command: "kubectl exec -n attache attache-1 -- attache doctor",
      },
    ]);
    expect(causes[0]?.identities).toHaveLength(5);
    expect(meshes).toMatchObject([{ level: "warning", identities: 200, ready: 200 }]);
  });

  it("shows a failure that attaché does not know as one to look at, not as one that is awaited", async () => {
    const conditions = [
      condition("Ready", { status: "False", reason: "NotPublished" }),
      condition("SourceReady", { status: "Unknown", reason: "InternalError" }),
    ];
    await using served = await serve({ identities: [consoleIdentity("web", { conditions })] });
    expect(await served.overview()).toMatchObject({
      verdict: { level: "warning" },
      answers: { current: { level: "warning" } },
      causes: [{ type: "SourceReady", reason: "InternalError", count: 1 }],
    });
  });

  it("counts orphaned identities, which no replica renews any more", async () => {
    await using served = await serve({ identities: [], state: stateWith({ orphans: 2 }) });
    expect(await served.overview()).toMatchObject({
      verdict: { level: "alarm" },
      answers: { current: { text: "2 identities orphaned: no attaché renews what is published." } },
    });
  });

  it("shows a planted root as an alarm, and one that is left out as a warning", async () => {
    const root = (reason: "Unknown" | "Expired") => ({
      rootProblems: [{ reason, fingerprint: "ab", message: `The root ab is ${reason}.` }],
    });
    await using served = await serve({
      identities: [consoleIdentity("planted", root("Unknown")), consoleIdentity("old", root("Expired"))],
    });
    expect((await served.overview()).causes).toMatchObject([
      { level: "alarm", type: "Root", reason: "Unknown", identities: ["emissary/planted"] },
      { level: "warning", type: "Root", reason: "Expired", identities: ["emissary/old"] },
    ]);
  });

  it("says of a replica that waits which one leads, and of one without a leader that nothing is renewed", async () => {
    const state = stateWith({ isLeader: false, lease: { holder: "attache-2_uid_x" } });
    await using served = await serve({ state, identities: [] });
    expect((await served.overview()).answers.working).toEqual({
      level: "waiting",
      text: "This replica waits. attache-2 leads, and knows the identities.",
      command: "attache console -n attache",
    });
    served.source.state = stateWith({ isLeader: false, lease: {} });
    expect((await served.overview()).verdict).toMatchObject({ level: "warning" });
  });

  it("follows what changes, a second later at most", async () => {
    await using served = await serve();
    using feed = await follow(served.url);
    expect((await feed.next()).verdict.level).toBe("good");
    served.source.identities = [
      consoleIdentity("storefront", {
        conditions: [condition("Ready", { status: "False", reason: "Expired" })],
      }),
    ];
    await served.clock.advance(1_000);
    expect(await feed.next()).toMatchObject({ verdict: { level: "alarm" }, causes: [{ reason: "Expired" }] });
  });

  it("comes every five seconds while nothing changes", async () => {
    await using served = await serve();
    using feed = await follow(served.url);
    const first = await feed.next();
    await served.clock.advance(5_000);
    const second = await feed.next();
    expect(Date.parse(second.now) - Date.parse(first.now)).toBe(5_000);
  });
});

describe("the feed", () => {
  it("holds one message at most for each of 200 readers that do not read, and serves others meanwhile", async () => {
    // A message of about 50 KB.
    const conditions = [
      condition("Ready", { status: "False", reason: "Expired", message: "long ".repeat(800) }),
    ];
    const identities = Array.from({ length: 12 }, (_, index) =>
      consoleIdentity(`svc-${index}`, {
        conditions: conditions.map((one) => ({ ...one, reason: `Expired${index}` })),
      }),
    );
    await using served = await serve({ identities });
    const sockets: Socket[] = [];
    for (let index = 0; index < 200; index += 1) {
      const socket = connect(served.port, "127.0.0.1").pause();
      socket.on("error", () => undefined);
      socket.write("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
      sockets.push(socket);
    }
    const first = await served.changes();
    expect(first.rows).toHaveLength(12);
    const before = await bytesInUse();
    for (let turn = 0; turn < 200; turn += 1) {
      served.source.identities = identities.map((one) => ({ ...one }));
      await served.clock.advance(1_000);
    }
    // 200 messages of 50 KB are 10 MB, even if the readers share them.
    expect((await bytesInUse()) - before).toBeLessThan(5_000_000);
    expect((await served.get("/api/identities")).status).toBe(200);
    for (const socket of sockets) socket.destroy();
  });

  it("refuses more readers than it can serve", async () => {
    await using served = await serve();
    const feeds = await Promise.all(Array.from({ length: maxReaders }, () => follow(served.url)));
    const reply = await served.get("/api/events");
    expect(reply.status).toBe(503);
    expect(await reply.json()).toMatchObject({ error: { code: "ATTACHE_SERVER_BUSY" } });
    for (const feed of feeds) feed[Symbol.dispose]();
    await expect
      .poll(async () => {
        const [response] = (await once(get(`${served.url}/api/events`), "response")) as [IncomingMessage];
        response.destroy();
        return response.statusCode;
      })
      .toBe(200);
  });

  it.each([
    ["ends soon after its request is refused", "ATTACHE_SERVER_TOKEN", true],
    ["goes on while the API server cannot say whose the token is", "ATTACHE_SERVER_BUSY", false],
  ] as const)("%s", async (_, code, ends) => {
    const refusals: ServerError[] = [];
    const admit = () => {
      for (const refusal of refusals) throw refusal;
    };
    await using served = await serve({}, admit);
    using feed = await follow(served.url);
    await feed.next();
    refusals.push(new ServerError(code, "it is over"));
    await served.clock.advance(5_000);
    await feed.next();
    await served.clock.advance(10_000);
    if (ends) await feed.untilEnd();
    else await feed.next();
  });

  it("rests while no page is open", async () => {
    await using served = await serve();
    await served.overview();
    await served.clock.advance(60_000);
    expect(served.clock.sleeps).toEqual([]);
  });
});
