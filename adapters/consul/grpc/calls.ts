import { type Client, Metadata, type MethodDefinition } from "@grpc/grpc-js";
import { type Clock, MeshError } from "../../../src/mesh/adapter.ts";

export interface CallOptions {
  /** The ACL token; `undefined` for none. */
  readonly token: string | undefined;
  /** As messages name it. */
  readonly server: string;
  /** For the answer, of a stream for the first one. */
  readonly withinMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** One answer to one request. @throws ServiceError; MeshError if it does not come in time; the signal's reason. */
export async function ask<Q, A>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: MethodDefinition<Q, A>,
  request: Q,
  options: CallOptions,
): Promise<A> {
  options.signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<A>();
  const call = client.makeUnaryRequest<Q, A>(
    path,
    requestSerialize,
    responseDeserialize,
    request,
    metadataOf(options),
    {},
    (error, answer) => {
      if (answer !== undefined) resolve(answer);
      else reject(error ?? new TypeError("grpc-js gave neither an answer nor an error"));
    },
  );
  using _bounds = boundsOf(options, (reason) => {
    reject(reason);
    call.cancel();
  });
  return await promise;
}

/**
 * All answers to one request. Ends only by throwing: as {@link ask}, and a MeshError if the server ends the stream.
 * @param pauseMs how long an answer keeps the next one waiting: a server that floods gets no more of our time.
 */
export async function* follow<Q, A>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: MethodDefinition<Q, A>,
  request: Q,
  options: CallOptions & { readonly pauseMs: number },
): AsyncGenerator<A, never, undefined> {
  const { server, clock, signal, pauseMs } = options;
  signal.throwIfAborted();
  const call = client.makeServerStreamRequest<Q, A>(
    path,
    requestSerialize,
    responseDeserialize,
    request,
    metadataOf(options),
  );
  // grpc-js emits one more error after a cancel, when nobody listens any longer.
  call.on("error", () => undefined);
  using bounds = boundsOf(options, (reason) => void call.destroy(reason));
  try {
    for await (const answer of call as AsyncIterable<A>) {
      bounds.answered();
      yield answer;
      await clock.sleep(pauseMs, signal);
    }
    throw new MeshError("ATTACHE_MESH_UNAVAILABLE", `${server} ended a stream`, {
      remedy: "Nothing, if the server restarts: attaché connects again by itself. Else look at its log.",
    });
  } finally {
    call.cancel();
    call.destroy();
  }
}

function metadataOf({ token }: CallOptions): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("x-consul-token", token);
  return metadata;
}

interface Bounds extends Disposable {
  /** Takes the limit on time away. */
  answered(): void;
}

/** Calls `end` with the reason on the signal's abort, or when no answer has come in time. */
function boundsOf({ server, withinMs, clock, signal }: CallOptions, end: (reason: Error) => void): Bounds {
  const answered = new AbortController();
  const abort = () => end(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  clock.sleep(withinMs, answered.signal).then(
    () => end(new MeshError("ATTACHE_MESH_TIMEOUT", `${server} did not answer in ${withinMs / 1000} s`)),
    () => undefined,
  );
  return {
    answered: () => answered.abort(),
    [Symbol.dispose]() {
      answered.abort();
      signal.removeEventListener("abort", abort);
    },
  };
}
