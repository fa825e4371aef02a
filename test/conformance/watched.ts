import assert from "node:assert/strict";
import { type Adapter, type Credential, type Mesh, parseSpiffeIdPattern } from "../../src/mesh/adapter.ts";
import type { WatchOptions } from "../../src/mesh/adapter.ts";
import { assertComplete } from "./credentials.ts";
import { promptMs, within } from "./time.ts";
import { noToken } from "./no-token.ts";
import type { Peer } from "./subject.ts";
import type { Witness } from "./witness.ts";

/** A watch, read one credential at a time; each is checked to be complete, and of the identity. */
export interface Watched {
  next(): Promise<Credential>;
  /** The first credential from now on that `wanted` accepts. */
  until(wanted: (credential: Credential) => boolean, what: string): Promise<Credential>;
  /** What the watch throws at its end, reading on until then. */
  end(): Promise<unknown>;
  abort(reason: Error): void;
  /** As a consumer does that leaves its loop. */
  leave(): Promise<void>;
}

export interface Watching<S, I> extends Partial<WatchOptions> {
  readonly adapter: Adapter<S, I>;
  readonly mesh: Mesh<I>;
  readonly peer: Peer;
  /** As a user writes it; the peer's by default. */
  readonly identity?: unknown;
  readonly witness: Witness;
  /** Aborts when the case is over, and with it whatever is still waited for. */
  readonly over: AbortSignal;
  readonly deadlineMs: number;
}

export function watch<S, I>({
  adapter,
  mesh,
  peer,
  witness,
  over,
  deadlineMs,
  ...request
}: Watching<S, I>): Watched {
  const { identity: written = peer.identity, signal = over, ...rest } = request;
  const { namespace = "conformance", serviceAccountToken = noToken } = peer;
  const own = new AbortController();
  const identity = adapter.identity.parse(written);
  const expected = parseSpiffeIdPattern(adapter.expected(identity, { namespace }));
  const options: WatchOptions = {
    namespace,
    serviceAccountToken,
    ...rest,
    signal: AbortSignal.any([own.signal, over, signal]),
  };
  const iterator = mesh.watch(identity, options)[Symbol.asyncIterator]();

  async function take(): Promise<Credential> {
    const result = await within(deadlineMs, iterator.next(), "a credential", over);
    assert.ok(result.done !== true, "a watch ends only by throwing");
    witness.receive(result.value);
    assertComplete(result.value);
    const [uri = ""] = result.value.chain[0].uris;
    assert.ok(expected.test(uri), `${uri} is one of ${expected.toString()}`);
    return result.value;
  }

  async function search(wanted: (credential: Credential) => boolean): Promise<Credential> {
    for (;;) {
      const credential = await take();
      if (wanted(credential)) return credential;
    }
  }

  async function end(): Promise<unknown> {
    try {
      for (;;) await take();
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      witness.read(error);
      return error;
    }
  }

  return {
    next: () => handled(take()),
    until: (wanted, what) => handled(within(deadlineMs, search(wanted), what, over)),
    end: () => handled(end()),
    abort: (reason) => own.abort(reason),
    async leave() {
      await within(promptMs, Promise.resolve(iterator.return?.()), "the end of a watch that was left");
    },
  };
}

/** A case that fails elsewhere no longer looks at what it waits for here. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
