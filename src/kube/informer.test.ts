import { describe, expect, it, onTestFinished, vi } from "vitest";
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

/** An object that reduces to its label `is`; created again, it has another uid. */
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
  const transitions: string[] = [];
  const logged: string[] = [];
  const informer = startInformer<string>({
    api,
    resource: resources.secrets,
    namespace: "edge",
    reduce: ({ metadata }) => metadata.labels?.["is"],
    changed: (change) => changes.push(change),
    transitioned: ({ state }) => transitions.push(state),
    logger: createLogger("debug", { write: (line) => void logged.push(line) }),
    clock,
    ...options,
  });
  onTestFinished(() => informer[Symbol.asyncDispose]());
  return {
    api,
    clock,
    informer,
    logged,
    transitions,
    /** What has changed since this was last asked. */
    changes: () => changes.splice(0),
    items: () => Object.fromEntries(informer.items),
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
  await started.informer.synced;
  started.changes();
  return { ...started, watch };
}

/** Resolves when everything that was sent has been processed. */
const taken = () => new Promise((resolve) => setImmediate(resolve));

describe("an informer", () => {
  it("lists all objects in one stream, and goes on watching", async () => {
    const { api, informer, changes, items } = start({
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
    expect(informer.health).toMatchObject({ state: "listing", isSynced: false });
    watch.send(listEnd(5));
    await informer.synced;
    expect(informer.health).toEqual({
      what: "secrets in namespace edge",
      state: "synced",
      isSynced: true,
      sinceMs: 0,
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

  it("keeps nothing of an object that reduces to undefined", async () => {
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

  it("resumes where it was when the API server ends the watch", async () => {
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

  it("keeps what it has while the API server fails, logs that once, and goes on where it was", async () => {
    const { watch, informer, next, changes, items, logged } = await synced();
    watch.send(modified("a", 7));
    watch.fail(away);
    for (let i = 0; i < 3; i += 1) (await next()).fail(away);
    const back = await next();
    expect(informer.health).toMatchObject({ state: "failing", isSynced: true, error: away });
    expect(items()).toEqual({ "edge/a": "v7", "edge/b": "v2" });
    expect(back.query).toMatchObject({ resourceVersion: "7" });
    back.begin();
    expect(informer.health).toEqual({
      what: "secrets in namespace edge",
      state: "synced",
      isSynced: true,
      sinceMs: 240_000,
    });
    back.send(modified("b", 9));
    await taken();
    expect(changes().map(({ key }) => key)).toEqual(["edge/a", "edge/b"]);
    expect(logged.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { id: "WatchFailed", what: "secrets in namespace edge" },
      { id: "WatchRestored", what: "secrets in namespace edge" },
    ]);
  });

  it("reports what was deleted, added and changed meanwhile when it must list again, and nothing else", async () => {
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

  it("reports an object that was deleted and created again meanwhile as two", async () => {
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

  it("takes nothing for deleted when a list breaks in the middle", async () => {
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

  it("replaces a silent watch, and lists when its successor says nothing at all", async () => {
    const { api, clock, watch, next, informer } = await synced();
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
    expect(informer.health.state).toBe("synced");

    await clock.advance(150_000);
    expect(second.left.aborted).toBe(true);
    expect(informer.health).toMatchObject({
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

  it("lists again after hours, whatever the wall clock shows", async () => {
    const { api, clock, watch } = await synced();
    watch.send(bookmark(8));
    watch.end();
    const second = await api.nextWatch();
    expect(second.query).toMatchObject({ resourceVersion: "8" });
    clock.stall(2 * 3_600_000);
    second.send(bookmark(9));
    second.end();
    expect((await api.nextWatch()).query).toMatchObject({ sendInitialEvents: true });
  });

  it("counts an absent kind as synced without objects, and looks for it again", async () => {
    const { api, informer, next, items } = start();
    (await api.nextWatch()).fail(unknown);
    await informer.synced;
    expect(informer.health).toMatchObject({ state: "absent", isSynced: true, error: unknown });
    (await next()).fail(unknown);
    const list = await next();
    list.send(added("a", 1), listEnd(2));
    await taken();
    expect(informer.health.state).toBe("synced");
    expect(items()).toEqual({ "edge/a": "v1" });
  });

  it("keeps what it has when the kind goes, and compares when it returns", async () => {
    const { watch, informer, next, changes, items } = await synced();
    watch.fail(unknown);
    const list = await next();
    expect(informer.health.state).toBe("absent");
    expect(items()).toEqual({ "edge/a": "v1", "edge/b": "v2" });
    list.send(added("a", 50, "again", "another uid"), listEnd(51));
    await taken();
    expect(changes().map(({ key, after }) => [key, after])).toEqual([
      ["edge/a", undefined],
      ["edge/a", "again"],
      ["edge/b", undefined],
    ]);
  });

  it("gives reduce an object that it cannot change, by type", () => {
    const reduce: InformerOptions<string>["reduce"] = (seen) => {
      // @ts-expect-error -- it is read-only
      seen.metadata.name = "other";
      // @ts-expect-error -- it is read-only
      seen.metadata.labels = {};
      // @ts-expect-error -- it is read-only
      seen["spec"] = {};
      // @ts-expect-error -- nothing is known of its shape
      seen["spec"].tls = "other";
      return undefined;
    };
    expect(reduce).toBeTypeOf("function");
  });

  it("reports each transition once, after the changes that led to it", async () => {
    const order: string[] = [];
    const { watch, next, clock, api } = await synced({
      changed: ({ key }) => order.push(key),
      transitioned: ({ state, error }) => order.push(error === undefined ? state : `${state} ${error.code}`),
    });
    watch.fail(away);
    (await next()).fail(away);
    (await next()).fail(new ApiError("ATTACHE_KUBERNETES_UNAVAILABLE", "etcd is down"));
    (await next()).fail(unknown);
    const list = await next();
    list.send(added("c", 9), listEnd(20));
    await taken();
    list.end();
    (await api.nextWatch()).begin();
    expect(order).toEqual([
      ...["edge/a", "edge/b", "synced"],
      "failing ATTACHE_KUBERNETES_UNREACHABLE",
      "failing ATTACHE_KUBERNETES_UNAVAILABLE",
      "absent ATTACHE_KUBERNETES_KIND_UNKNOWN",
      ...["edge/c", "edge/a", "edge/b", "synced"],
    ]);
    expect(clock.sleeps).toHaveLength(1);
  });

  it("reports no change of an object that reduces to an equal value", async () => {
    const values: unknown[] = [];
    let observed = 0;
    let changed = 0;
    const api = fakeApi();
    const informer = startInformer({
      api,
      resource: resources.mappings,
      reduce: ({ metadata: { name, labels } }) => ({ name, contexts: [labels?.["is"]] }),
      observed: () => (observed += 1),
      changed: ({ after }) => {
        changed += 1;
        values.push(after);
      },
      logger: createLogger("silent"),
      clock: manualClock(),
    });
    onTestFinished(() => informer[Symbol.asyncDispose]());
    const watch = await api.nextWatch();
    const names = Array.from({ length: 10_000 }, (_, i) => `m${i}`);
    watch.send(...names.map((name, i) => added(name, i, "same")), listEnd(10_000));
    await informer.synced;
    expect(changed).toBe(10_000);

    watch.send(
      ...names.map((name, i) => modified(name, 20_000 + i, "same")),
      modified("m7", 40_000, "other"),
    );
    await vi.waitFor(() => expect(observed).toBe(20_001));
    expect(values.slice(10_000)).toEqual([{ name: "m7", contexts: ["other"] }]);
    expect(informer.items.get("edge/m8")).toBe(values[8]);
  });

  it("backs off when each list is cut after its first object", async () => {
    const { api, clock, informer, transitions } = start();
    let lists = 0;
    void (async () => {
      for (;;) {
        const watch = await api.nextWatch();
        lists += 1;
        watch.send(added("a", 1));
        watch.end();
      }
    })();
    await clock.advance(600_000);
    expect(lists).toBeLessThan(60);
    expect(informer.health).toMatchObject({
      state: "failing",
      isSynced: false,
      error: { code: "ATTACHE_KUBERNETES_MALFORMED" },
    });
    expect(transitions).toEqual(["failing"]);
  });

  it("backs off when each watch after a whole list has expired", async () => {
    const { api, clock } = start();
    let lists = 0;
    void (async () => {
      for (let version = 1; ; version += 1) {
        const watch = await api.nextWatch();
        if (watch.query["sendInitialEvents"] !== true) {
          watch.fail(expired);
          continue;
        }
        lists += 1;
        watch.send(added("a", 1), listEnd(version));
        watch.end();
      }
    })();
    await clock.advance(600_000);
    expect(lists).toBeLessThan(60);
  });

  it("notices a kind that goes and returns ten times, and lists it again each time", async () => {
    const { api, next, transitions, items, watch: first } = await synced();
    transitions.splice(0);
    let watch = first;
    for (let round = 1; round <= 10; round += 1) {
      watch.end();
      watch = await api.nextWatch();
      watch.fail(unknown);
      watch = await next();
      watch.send(added(`c${round}`, 10 * round), listEnd(10 * round + 1));
      await taken();
      expect(items()).toEqual({ [`edge/c${round}`]: `v${10 * round}` });
      watch.send(deleted(`c${round}`, 10 * round + 2));
      await taken();
      expect(items()).toEqual({});
    }
    expect(transitions).toEqual(Array.from({ length: 10 }, () => ["absent", "synced"]).flat());
  });

  it("lists in pages where the API server does not stream lists", async () => {
    const { api, informer, changes } = start({ accept: "metadata" });
    (await api.nextWatch()).fail(cannotStream);
    const first = await api.nextRequest();
    expect(first).toMatchObject({ method: "GET", path, accept: "metadata", query: { limit: 500 } });
    first.answer({ metadata: { resourceVersion: "5", continue: "more" }, items: [object("a", 1)] });
    const second = await api.nextRequest();
    expect(second.query).toMatchObject({ continue: "more" });
    second.answer({ metadata: { resourceVersion: "5" }, items: [object("b", 2)] });
    await informer.synced;
    expect(changes().map(({ key }) => key)).toEqual(["edge/a", "edge/b"]);
    expect((await api.nextWatch()).query).toMatchObject({ resourceVersion: "5" });
  });

  it("takes nothing for deleted when a page fails", async () => {
    const { api, clock, changes, informer } = start();
    (await api.nextWatch()).fail(cannotStream);
    (await api.nextRequest()).answer({ metadata: { resourceVersion: "5" }, items: [object("a", 1)] });
    await informer.synced;
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

  it("is not stopped by a reduce that throws, and keeps what it knew of that object", async () => {
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
    expect(logged.join()).toContain("was not processed");
  });

  it("ends its watch when it is disposed of, and rejects what still waits for it", async () => {
    const { api, informer } = start();
    const watch = await api.nextWatch();
    const waiting = expect(informer.synced).rejects.toThrow(/no longer watched/);
    await informer[Symbol.asyncDispose]();
    await waiting;
    expect(watch.left.aborted).toBe(true);
  });
});
