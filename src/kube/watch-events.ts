import { setImmediate } from "node:timers/promises";
import { malformed } from "./api-error.ts";
import { maxMemberBytes, skim } from "./skim.ts";
import { type Asked, parseStatus, statusError } from "./request-error.ts";

/** A line of a watch. A bookmark's object has a resourceVersion and annotations, and nothing else. */
export interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: T;
}

/** An object of etcd has 1.5 MB at most; as JSON, with its escapes and managed fields, it may be longer. */
const maxLineBytes = 8 * 1024 * 1024;

/**
 * After so many bytes of events everything else has its turn: a millisecond or two of work. Bytes, not time:
 * how far a watch gets in a turn does not depend on how busy the machine is.
 */
const sliceBytes = 32 * 1024;

const lineEnd = 0x0a;

/**
 * The events of a watch, from the bytes of its answer. An event that is cut is dropped. Thousands may come at
 * once: between slices of them the event loop has a turn, always after an event and never within one.
 * @throws ApiError also when the watch itself says so in an event of type ERROR; the signal's reason if it
 *   aborts in between.
 */
export async function* watchEvents<T>(
  chunks: AsyncIterable<Buffer>,
  asked: Asked,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  let bytes = 0;
  for await (const line of linesOf(chunks)) {
    yield eventOf<T>(line, asked);
    bytes += line.length;
    if (bytes < sliceBytes) continue;
    bytes = 0;
    await setImmediate();
    signal.throwIfAborted();
  }
}

async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(lineEnd); end !== -1; end = chunk.indexOf(lineEnd, from)) {
      if (length === 0) yield chunk.subarray(from, end);
      else yield Buffer.concat([...pending, chunk.subarray(from, end)]);
      pending = [];
      length = 0;
      from = end + 1;
    }
    if (from === chunk.length) continue;
    pending.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > maxLineBytes) throw malformed(`a line of a watch is longer than ${maxLineBytes} bytes`);
  }
}

function eventOf<T>(line: Buffer, asked: Asked): WatchEvent<T> {
  const { type, object } = parseEvent(line);
  if (type !== "ERROR") return { type, object: object as T };
  const status = parseStatus(object);
  throw status === undefined
    ? malformed(`the watch of ${asked.path} ends with an error that is no Status`)
    : statusError(asked, status, []);
}

interface Line {
  readonly type: WatchEvent<unknown>["type"] | "ERROR";
  readonly object: unknown;
}

const types: ReadonlySet<unknown> = new Set<Line["type"]>([
  "ADDED",
  "MODIFIED",
  "DELETED",
  "BOOKMARK",
  "ERROR",
]);

function parseEvent(line: Buffer): Line {
  try {
    const { json, isCut } =
      line.length > maxMemberBytes ? skim(line) : { json: line.toString(), isCut: false };
    const event: unknown = JSON.parse(json);
    if (isLine(event)) return isCut ? { ...event, object: { ...Object(event.object), isCut } } : event;
  } catch (cause) {
    throw malformed("a line of a watch is no JSON", cause);
  }
  throw malformed("a line of a watch is no event");
}

function isLine(value: unknown): value is Line {
  return (
    typeof value === "object" &&
    value !== null &&
    "type" in value &&
    types.has(value.type) &&
    "object" in value
  );
}
