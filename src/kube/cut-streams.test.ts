import { expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { createLogger } from "../telemetry/logger.ts";
import { ApiError } from "./api-error.ts";
import type { KubeClient, WatchRequest } from "./client.ts";
import { startInformer } from "./informer.ts";
import { resources } from "./resources.ts";
import { watchEvents } from "./watch-events.ts";

/** An event of about 150 bytes. */
const line = (type: string, name: string, version: number, annotations = {}) =>
  `${JSON.stringify({ type, object: { metadata: { name, namespace: "edge", uid: name, resourceVersion: String(version), annotations } } })}\n`;

const names = ["a", "b", "c"];
const list =
  names.map((name, i) => line("ADDED", name, i + 1)).join("") +
  line("BOOKMARK", "", 10, { "k8s.io/initial-events-end": "true" });
/** What happens after the list. */
const log = [
  line("MODIFIED", "a", 11),
  line("DELETED", "b", 12),
  line("ADDED", "d", 13),
  line("MODIFIED", "c", 14),
];

const whole = list + log.join("");
const wholeBytes = whole.length;

/**
 * Of each line: nothing, its first byte, its middle, all but its last byte (the line feed), and all but its
 * last two.
 */
const cuts = [...whole.matchAll(/.*\n/g)].flatMap(({ index, 0: { length } }) =>
  [0, 1, Math.floor(length / 2), length - 2, length - 1].map((bytes) => index + bytes),
);

/** An API server of which each stream ends after so many bytes, with an error or as if that were all. */
function cuttingApi(isError: boolean) {
  const api = {
    maxBytes: 0,
    requests: 0,
    async *watch<T>(request: WatchRequest, signal: AbortSignal) {
      api.requests += 1;
      request.began?.();
      const { resourceVersion } = request.query ?? {};
      const text =
        resourceVersion === undefined
          ? list + log.join("")
          : log.slice(Number(resourceVersion) - 10).join("");
      yield* watchEvents<T>(cut(text, signal), { method: "GET", path: request.path }, signal);
    },
  };
  async function* cut(text: string, signal: AbortSignal): AsyncGenerator<Buffer> {
    yield Buffer.from(text.slice(0, api.maxBytes));
    if (api.maxBytes < wholeBytes) {
      if (isError) throw new ApiError("ATTACHE_KUBERNETES_UNREACHABLE", "the connection was cut");
      return;
    }
    signal.throwIfAborted();
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
  }
  return api;
}

const reduce = ({ metadata }: { metadata: { resourceVersion: string } }) => metadata.resourceVersion;

it.each([
  ["an error", true],
  ["no error", false],
])(
  "an informer whose streams all end in or between any lines with %s backs off or makes progress, and loses nothing",
  async (_, isError) => {
    for (const maxBytes of cuts) {
      const api = cuttingApi(isError);
      api.maxBytes = maxBytes;
      const clock = manualClock();
      const transitions: string[] = [];
      const informer = startInformer({
        api: api as unknown as KubeClient,
        resource: resources.secrets,
        reduce,
        transitioned: ({ state }) => transitions.push(state),
        logger: createLogger("silent"),
        clock,
      });
      await clock.advance(300_000);
      // With back-off about 7 in the first half minute, and then 4 a minute.
      expect(api.requests, `${maxBytes} bytes`).toBeLessThan(60);
      if (maxBytes < list.length)
        expect(informer.health).toMatchObject({ state: "failing", isSynced: false });

      api.maxBytes = wholeBytes;
      await clock.advance(31_000);
      expect(Object.fromEntries(informer.items), `${maxBytes} bytes`).toEqual({
        "edge/a": "11",
        "edge/c": "14",
        "edge/d": "13",
      });
      expect(transitions.at(-1)).toBe("synced");
      await informer[Symbol.asyncDispose]();
    }
  },
);
