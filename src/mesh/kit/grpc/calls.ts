import {
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  Metadata,
  type MethodDefinition,
} from "@grpc/grpc-js";
import type { Clock } from "../../../runtime/clock.ts";
import { unlessAborted } from "../../../runtime/abort.ts";
import { withTimeout } from "../../../runtime/timeout.ts";
import { MeshError } from "../../errors.ts";
import { late } from "../checks.ts";

export interface CallOptions {
  /** How messages call the peer: "the agent". */
  readonly peer: string;
  /** For the answer; of a stream, for the first one. */
  readonly withinMs: number;
  /** What to do about a peer that does not answer. */
  readonly remedy?: string;
  /** What is `undefined` is not sent. */
  readonly metadata?: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface StreamOptions extends CallOptions {
  /**
   * How long an answer keeps the next one waiting: a peer that floods costs no more of our time. 250 ms by
   * default.
   */
  readonly pauseMs?: number;
  /** Whether each answer is complete, so that those before the last one that has come need not be read. */
  readonly onlyNewest?: boolean;
}

/** A real peer sends a few messages a day. */
export const pauseMs = 250;

/**
 * One answer to one request. @throws ServiceError; MeshError if it is none or comes late; the signal's
 * reason.
 */
export async function callUnary<Q, A>(
  client: Client,
  method: MethodDefinition<Q, A>,
  request: Q,
  options: CallOptions,
): Promise<A> {
  options.signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const { path, requestSerialize } = method;
  const metadata = metadataOf(options);
  const call = client.makeUnaryRequest(path, requestSerialize, asBytes, request, metadata, (error, bytes) => {
    if (error === null) resolve(bytes ?? Buffer.alloc(0));
    else reject(error);
  });
  using limit = limitOf(options);
  try {
    return decode(method, await unlessAborted(promise, limit.signal), options);
  } finally {
    call.cancel();
  }
}

/**
 * All answers to one request. Ends only by throwing: as {@link callUnary}, and a MeshError when the peer ends
 * the stream.
 */
export async function* callStream<Q, A>(
  client: Client,
  method: MethodDefinition<Q, A>,
  request: Q,
  options: StreamOptions,
): AsyncGenerator<A, never, undefined> {
  options.signal.throwIfAborted();
  const { path, requestSerialize } = method;
  const metadata = metadataOf(options);
  const call = client.makeServerStreamRequest(path, requestSerialize, asBytes, request, metadata);
  return yield* answersOf(call, method, options);
}

/** A stream both ways. */
export interface Conversation<Q, A> {
  /** @throws MeshError if the peer does not read. */
  send(request: Q): void;
  /** As of {@link callStream}; to be read, as that is what ends the stream. */
  readonly answers: AsyncGenerator<A, never, undefined>;
  /** Has `answers` throw this. */
  end(error: Error): void;
}

export function converse<Q, A>(
  client: Client,
  method: MethodDefinition<Q, A>,
  options: StreamOptions,
): Conversation<Q, A> {
  options.signal.throwIfAborted();
  const { path, requestSerialize } = method;
  const call: ClientDuplexStream<Q, Buffer> = client.makeBidiStreamRequest(
    path,
    requestSerialize,
    asBytes,
    metadataOf(options),
    {},
  );
  return {
    send(request) {
      if (call.write(request)) return;
      throw new MeshError(
        "ATTACHE_MESH_MALFORMED",
        `${options.peer} sends, and does not read what is answered`,
      );
    },
    answers: answersOf(call, method, options),
    end: (error) => void call.destroy(error),
  };
}

async function* answersOf<Q, A>(
  call: ClientReadableStream<Buffer>,
  method: MethodDefinition<Q, A>,
  options: StreamOptions,
): AsyncGenerator<A, never, undefined> {
  const { peer, clock, signal, onlyNewest = false } = options;
  // grpc-js emits one more error after a cancel, when no listener is left.
  call.on("error", () => undefined);
  using limit = limitOf(options);
  const abort = () => void call.destroy(limit.signal.reason as Error);
  limit.signal.addEventListener("abort", abort, { once: true });
  try {
    for await (const bytes of call as AsyncIterable<Buffer>) {
      limit.clear();
      yield decode(method, onlyNewest ? newestIn(call, bytes) : bytes, options);
      await clock.sleep(options.pauseMs ?? pauseMs, signal);
    }
    throw new MeshError("ATTACHE_MESH_UNAVAILABLE", `${peer} ended the stream`, {
      remedy: "Nothing, if it restarts: attaché connects again by itself. Else look at its log.",
    });
  } finally {
    call.cancel();
    call.destroy();
  }
}

function newestIn(call: ClientReadableStream<Buffer>, first: Buffer): Buffer {
  let newest = first;
  const read = () => call.read() as Buffer | null;
  for (let next = read(); next !== null; next = read()) newest = next;
  return newest;
}

/** Answers come as bytes: an answer that cannot be read must differ from a failure of the peer. */
const asBytes = (bytes: Buffer): Buffer => bytes;

function decode<Q, A>(
  { path, responseDeserialize }: MethodDefinition<Q, A>,
  bytes: Buffer,
  { peer }: CallOptions,
): A {
  try {
    return responseDeserialize(bytes);
  } catch (cause) {
    const method = path.slice(path.lastIndexOf("/") + 1);
    throw new MeshError("ATTACHE_MESH_MALFORMED", `${peer} sent something that is no answer to ${method}`, {
      cause,
    });
  }
}

function limitOf({ peer, withinMs, remedy, clock, signal }: CallOptions) {
  return withTimeout(withinMs, () => late(peer, withinMs, remedy), clock, signal);
}

function metadataOf({ metadata = {} }: CallOptions): Metadata {
  const sent = new Metadata();
  for (const [name, value] of Object.entries(metadata)) if (value !== undefined) sent.set(name, value);
  return sent;
}
