import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { createLogger } from "../telemetry/logger.ts";
import type { KubeClient, WatchRequest } from "./client.ts";
import { startInformer } from "./informer.ts";
import type { ApiObject } from "./object.ts";
import { resources } from "./resources.ts";
import { watchEvents } from "./watch-events.ts";

const count = 10_000;

const line = (type: string, name: string, version: number, annotations = {}) =>
  `${JSON.stringify({ type, object: { metadata: { name, namespace: "edge", uid: name, resourceVersion: String(version), annotations } } })}\n`;

const whole = Buffer.from(
  Array.from({ length: count }, (_, index) => line("ADDED", `m${index}`, index + 1)).join("") +
    line("BOOKMARK", "", count + 1, { "k8s.io/initial-events-end": "true" }),
);

/** As they are read from a connection on which all has arrived. */
async function* chunksOf(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let from = 0; from < bytes.length; from += size) {
    await Promise.resolve();
    yield bytes.subarray(from, from + size);
  }
}

const open = () => new AbortController().signal;
const asked = { method: "GET" as const, path: "/mappings" };

it.each([
  ["in one piece", whole.length],
  ["in the pieces of a socket", 65_536],
  ["in small pieces", 1_000],
])(
  "ten thousand events that arrive at once %s come in order, with turns of the event loop between",
  async (_, size) => {
    const over = new AbortController();
    let inTurn = 0;
    let most = 0;
    const others = (async () => {
      while (!over.signal.aborted) {
        await setImmediate();
        inTurn = 0;
      }
    })();
    const names: string[] = [];
    for await (const { object } of watchEvents<ApiObject>(chunksOf(whole, size), asked, open())) {
      names.push(object.metadata.name);
      most = Math.max(most, (inTurn += 1));
    }
    over.abort();
    await others;
    expect(names).toEqual([...Array.from({ length: count }, (_, index) => `m${index}`), ""]);
    expect(most).toBeLessThan(count / 20);
  },
);

it("a watch that is aborted between two slices delivers nothing more", async () => {
  const enough = new AbortController();
  let seen = 0;
  let seenAtAbort = 0;
  const read = (async () => {
    for await (const _event of watchEvents(chunksOf(whole, whole.length), asked, enough.signal)) seen += 1;
  })();
  const aborted = setImmediate().then(() => {
    seenAtAbort = seen;
    enough.abort(new Error("enough"));
  });
  await expect(read).rejects.toThrow("enough");
  await aborted;
  expect(seenAtAbort).toBeGreaterThan(0);
  expect(seen).toBe(seenAtAbort);
});

it("the time between two slices is no silence, however long it is", async () => {
  const clock = manualClock();
  let requests = 0;
  const api = {
    async *watch<T>({ path }: WatchRequest, signal: AbortSignal) {
      requests += 1;
      yield* watchEvents<T>(chunksOf(whole, whole.length), { method: "GET", path }, signal);
      signal.throwIfAborted();
      await new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    },
  };
  const transitions: string[] = [];
  const informer = startInformer({
    api: api as unknown as KubeClient,
    resource: resources.mappings,
    reduce: ({ metadata }) => metadata.resourceVersion,
    transitioned: ({ state }) => transitions.push(state),
    logger: createLogger("silent"),
    clock,
  });
  // In each turn more time passes than a watch may be silent.
  while (informer.items.size < count) await clock.advance(400_000);
  await informer.synced;
  expect(requests).toBe(1);
  expect(transitions).toEqual(["synced"]);
  expect([...informer.items.values()]).toEqual(
    Array.from({ length: count }, (_, index) => String(index + 1)),
  );
  await informer[Symbol.asyncDispose]();
});
