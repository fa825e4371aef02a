import { describe, expect, it, onTestFinished } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { fakeApi, type FakeWatch } from "../../test/fixtures/fake-api.ts";
import { createLogger } from "../telemetry/logger.ts";
import { ApiError } from "./api-error.ts";
import type { Change } from "./collection.ts";
import type { ApiObject } from "./object.ts";
import { startInformer, type InformerOptions } from "./informer.ts";
import { resources } from "./resources.ts";

const path = "/api/v1/namespaces/edge/secrets";
const away = new ApiError("ATTACHE_KUBERNETES_UNREACHABLE", "connection refused");
const expired = new ApiError("ATTACHE_KUBERNETES_EXPIRED", "too old");
const unknown = new ApiError("ATTACHE_KUBERNETES_KIND_UNKNOWN", "404 page not found");
const cannotStream = new ApiError("ATTACHE_KUBERNETES_INVALID", "sendInitialEvents is forbidden");

/** An object whose label `is` says what becomes of it; made anew, it has another uid. */
function object(name: string, version: number, is = `v${version}`, uid = name): ApiObject {
  return { metadata: { name, namespace: "edge", uid, resourceVersion: String(version), labels: { is } } };
}

const added = (...args: Parameters<typeof object>) => ({ type: "ADDED" as const, object: object(...args) });
const modified = (...args: Parameters<typeof object>) => ({
  type: "MODIFIED" as const,
  object: object(...args),
});
const deleted = (...args: Parameters<typeof object>) => ({
  type: "DELETED" as const,
  object: object(...args),
});
const bookmark = (version: number, annotations = {}) => ({
  type: "BOOKMARK" as const,
  object: { metadata: { resourceVersion: String(version), annotations } },
});
const listEnd = (version: number) => bookmark(version, { "k8s.io/initial-events-end": "true" });

function start(options: Partial<InformerOptions<string>> = {}) {
  const api = fakeApi();
  const clock = manualClock("2026-01-01T00:00:00Z", { random: () => 0.5 });
  const changes: Change<string>[] = [];
  const logged: string[] = [];
  const reflector = startInformer<string>({
    api,
    resource: resources.secrets,
    namespace: "edge",
    reduce: ({ metadata }) => metadata.labels?.["is"],
    changed: (change) => changes.push(change),
    logger: createLogger("debug", { write: (line) => void logged.push(line) }),
    clock,
    ...options,
  });
  onTestFinished(() => reflector[Symbol.asyncDispose]());
  return {
    api,
    clock,
    reflector,
    logged,
    /** What has changed since this was last asked. */
    changes: () => changes.splice(0),
    items: () => Object.fromEntries(reflector.items),
    /** Waits for the next watch, past any back-off. */
    next: async (ms = 60_000): Promise<FakeWatch> => {
      const watch = api.nextWatch();
      await clock.advance(ms);
      return watch;
    },
  };
}

/** As {@link start}, and has listed `a` and `b`. */
async function synced(options: Partial<InformerOptions<string>> = {}) {
  const started = start(options);
  const watch = await started.api.nextWatch();
  watch.begin();
  watch.send(added("a", 1), added("b", 2), listEnd(5));
  await started.reflector.synced;
  started.changes();
  return { ...started, watch };
}

/** Until everything that was sent has been taken. */
const taken = () => new Promise((resolve) => setImmediate(resolve));

describe("a reflector", () => {
  it("lists all there is in one stream, and goes on watching", async () => {
    const { api, reflector, changes, items } = start({
      labelSelector: "x=y",
      fieldSelector: "metadata.name=z",
    });
    const watch = await api.nextWatch();
    expect(watch).toMatchObject({
      path,
      query: {
        labelSelector: "x=y",
        fieldSelector: "metadata.name=z",
        sendInitialEvents: true,
        resourceVersionMatch: "NotOlderThan",
        allowWatchBookmarks: true,
        timeoutSeconds: 450,
      },
    });
    watch.begin();
    watch.send(added("a", 1));
    await taken();
    expect(reflector.health).toMatchObject({ state: "listing", isSynced: false });
    watch.send(listEnd(5));
    await reflector.synced;
    expect(reflector.health).toEqual({
      what: "secrets in namespace edge",
      state: "watching",
      isSynced: true,
    });

    watch.send(added("b", 6), modified("a", 7), deleted("b", 8));
    await taken();
    expect(changes()).toEqual([
      { key: "edge/a", after: "v1" },
      { key: "edge/b", after: "v6" },
      { key: "edge/a", before: "v1", after: "v7" },
      { key: "edge/b", before: "v6" },
    ]);
    expect(items()).toEqual({ "edge/a": "v7" });
  });

  it("keeps nothing of what is of no interest", async () => {
    const { watch, changes, items } = await synced({
      reduce: ({ metadata }) => (metadata.labels?.["is"] === "dull" ? undefined : "bright"),
    });
    watch.send(added("c", 6, "dull"), modified("a", 7, "dull"), modified("c", 8, "bright"));
    await taken();
    expect(changes()).toEqual([
      { key: "edge/a", before: "bright" },
      { key: "edge/c", after: "bright" },
    ]);
    expect(items()).toEqual({ "edge/b": "bright", "edge/c": "bright" });
  });

  it("goes on where it was when the API server ends the watch", async () => {
    const { api, watch, clock } = await synced();
    watch.send(bookmark(17));
    watch.end();
    const second = await api.nextWatch();
    expect(second.query).toMatchObject({ resourceVersion: "17", allowWatchBookmarks: true });
    expect(second.query).not.toHaveProperty("sendInitialEvents");
    expect(clock.sleeps).toEqual([150_000]);
  });

  it("pauses when watches end at once", async () => {
    const { api, watch, clock, next } = await synced();
    watch.end();
    (await api.nextWatch()).end();
    await taken();
    expect(clock.sleeps).toEqual([250]);
    (await next()).end();
    await taken();
    expect(clock.sleeps).toEqual([500]);
  });

  it("keeps what it has while the API server is away, tells that once, and goes on where it was", async () => {
    const { watch, reflector, next, changes, items, logged } = await synced();
    watch.send(modified("a", 7));
    watch.fail(away);
    for (let i = 0; i < 3; i += 1) (await next()).fail(away);
    const back = await next();
    expect(reflector.health).toMatchObject({ state: "failing", isSynced: true, error: away });
    expect(items()).toEqual({ "edge/a": "v7", "edge/b": "v2" });
    expect(back.query).toMatchObject({ resourceVersion: "7" });
    back.begin();
    expect(reflector.health).toEqual({
      what: "secrets in namespace edge",
      state: "watching",
      isSynced: true,
    });
    back.send(modified("b", 9));
    await taken();
    expect(changes().map(({ key }) => key)).toEqual(["edge/a", "edge/b"]);
    expect(logged.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
      "cannot watch secrets in namespace edge; trying again",
      "watching secrets in namespace edge again",
    ]);
  });

  it("tells what went, came and changed meanwhile when it must list again, and nothing else", async () => {
    const { watch, next, changes, items } = await synced();
    watch.fail(expired);
    const list = await next();
    expect(list.query).toMatchObject({ sendInitialEvents: true });
    list.send(added("b", 2), added("c", 9));
    await taken();
    expect(items()).toEqual({ "edge/a": "v1", "edge/b": "v2", "edge/c": "v9" });
    list.send(listEnd(20));
    await taken();
    expect(changes()).toEqual([
      { key: "edge/c", after: "v9" },
      { key: "edge/a", before: "v1" },
    ]);
  });

  it("tells an object that was deleted and made again meanwhile as two", async () => {
    const { watch, next, changes } = await synced();
    watch.fail(expired);
    const list = await next();
    list.send(added("a", 9, "new", "another uid"), added("b", 2), listEnd(20));
    await taken();
    expect(changes()).toEqual([
      { key: "edge/a", before: "v1" },
      { key: "edge/a", after: "new" },
    ]);
  });

  it("takes nothing for gone when a list breaks in the middle", async () => {
    const { watch, next, changes, items } = await synced();
    watch.fail(expired);
    const broken = await next();
    broken.send(added("b", 2));
    broken.fail(away);
    const whole = await next();
    expect(whole.query).toMatchObject({ sendInitialEvents: true });
    expect(items()).toEqual({ "edge/a": "v1", "edge/b": "v2" });
    whole.send(added("a", 1), added("b", 2), listEnd(20));
    await taken();
    expect(changes()).toEqual([]);
  });

  it("leaves a watch that has gone silent for another one, and lists when that says nothing at all", async () => {
    const { api, clock, watch, next, reflector } = await synced();
    for (let i = 0; i < 4; i += 1) {
      await clock.advance(140_000);
      watch.send(bookmark(30 + i));
      await taken();
    }
    expect(watch.left.aborted).toBe(false);
    await clock.advance(300_000);
    expect(watch.left.aborted).toBe(true);
    const second = await api.nextWatch();
    expect(second.query).toMatchObject({ resourceVersion: "33" });
    expect(reflector.health.state).toBe("watching");

    await clock.advance(150_000);
    expect(second.left.aborted).toBe(true);
    expect(reflector.health).toMatchObject({
      state: "failing",
      error: { code: "ATTACHE_KUBERNETES_TIMEOUT" },
    });
    expect((await next()).query).toMatchObject({ sendInitialEvents: true });
  });

  it("lists in pages when a streamed list does not come to its end", async () => {
    const { api, clock } = start();
    (await api.nextWatch()).send(added("a", 1));
    const request = api.nextRequest();
    await clock.advance(400_000);
    expect((await request).query).toMatchObject({ limit: 500 });
  });

  it("lists again now and then", async () => {
    const { api, clock, watch } = await synced();
    watch.send(bookmark(8));
    watch.end();
    const second = await api.nextWatch();
    expect(second.query).toMatchObject({ resourceVersion: "8" });
    clock.set(new Date(clock.now().getTime() + 2 * 3_600_000));
    second.send(bookmark(9));
    second.end();
    expect((await api.nextWatch()).query).toMatchObject({ sendInitialEvents: true });
  });

  it("counts a kind that the cluster does not know as none, and looks for it again", async () => {
    const { api, reflector, next, items } = start();
    (await api.nextWatch()).fail(unknown);
    await reflector.synced;
    expect(reflector.health).toMatchObject({ state: "absent", isSynced: true, error: unknown });
    (await next()).fail(unknown);
    const list = await next();
    list.send(added("a", 1), listEnd(2));
    await taken();
    expect(reflector.health.state).toBe("watching");
    expect(items()).toEqual({ "edge/a": "v1" });
  });

  it("keeps what it has when the kind goes, and compares when it is back", async () => {
    const { watch, reflector, next, changes, items } = await synced();
    watch.fail(unknown);
    const list = await next();
    expect(reflector.health.state).toBe("absent");
    expect(items()).toEqual({ "edge/a": "v1", "edge/b": "v2" });
    list.send(added("a", 50, "again", "another uid"), listEnd(51));
    await taken();
    expect(changes().map(({ key, after }) => [key, after])).toEqual([
      ["edge/a", undefined],
      ["edge/a", "again"],
      ["edge/b", undefined],
    ]);
  });

  it("lists in pages where the API server does not stream lists", async () => {
    const { api, reflector, changes } = start({ accept: "metadata" });
    (await api.nextWatch()).fail(cannotStream);
    const first = await api.nextRequest();
    expect(first).toMatchObject({ method: "GET", path, accept: "metadata", query: { limit: 500 } });
    first.answer({ metadata: { resourceVersion: "5", continue: "more" }, items: [object("a", 1)] });
    const second = await api.nextRequest();
    expect(second.query).toMatchObject({ continue: "more" });
    second.answer({ metadata: { resourceVersion: "5" }, items: [object("b", 2)] });
    await reflector.synced;
    expect(changes().map(({ key }) => key)).toEqual(["edge/a", "edge/b"]);
    expect((await api.nextWatch()).query).toMatchObject({ resourceVersion: "5" });
  });

  it("takes nothing for gone when a page fails", async () => {
    const { api, clock, changes, reflector } = start();
    (await api.nextWatch()).fail(cannotStream);
    (await api.nextRequest()).answer({ metadata: { resourceVersion: "5" }, items: [object("a", 1)] });
    await reflector.synced;
    (await api.nextWatch()).fail(expired);
    changes();
    const page = api.nextRequest();
    await clock.advance(1000);
    (await page).answer({ metadata: { resourceVersion: "9", continue: "more" }, items: [object("c", 8)] });
    (await api.nextRequest()).fail(expired);
    const again = api.nextRequest();
    await clock.advance(1000);
    (await again).answer({ metadata: { resourceVersion: "9" }, items: [object("a", 1), object("c", 8)] });
    await api.nextWatch();
    expect(changes()).toEqual([{ key: "edge/c", after: "v8" }]);
  });

  it("is not stopped by what is not understood, and keeps what it knew of that object", async () => {
    const { watch, changes, items, logged } = await synced({
      reduce: ({ metadata }) => {
        if (metadata.labels?.["is"] === "odd") throw new TypeError("odd");
        return metadata.labels?.["is"];
      },
    });
    watch.send(modified("a", 7, "odd"), modified("b", 8));
    await taken();
    expect(changes()).toEqual([{ key: "edge/b", before: "v2", after: "v8" }]);
    expect(items()).toEqual({ "edge/a": "v1", "edge/b": "v8" });
    expect(logged.join()).toContain("was not understood");
  });

  it("ends its watch when it is disposed of, and says so to who still waits", async () => {
    const { api, reflector } = start();
    const watch = await api.nextWatch();
    const waiting = expect(reflector.synced).rejects.toThrow(/no longer watched/);
    await reflector[Symbol.asyncDispose]();
    await waiting;
    expect(watch.left.aborted).toBe(true);
  });
});
