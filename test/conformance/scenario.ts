import assert from "node:assert/strict";
import { MeshError, parseSpiffeIdPattern, systemClock } from "../../src/mesh/adapter.ts";
import type { Check, ConnectionState, Credential, WatchOptions } from "../../src/mesh/adapter.ts";
import { assertComplete } from "./credentials.ts";
import type { Peer, Subject } from "./subject.ts";
import { createWitness, type Witness } from "./witness.ts";

/** What the port promises of an abort, and we ask of everything that ends. */
export const promptMs = 1000;

/** One adapter, connected to one control plane, in one case. */
export interface Scenario<P extends Peer> {
  readonly peer: P;
  /** Begins a watch that ends with the case. */
  readonly watch: (options?: Partial<WatchOptions> & { readonly identity?: unknown }) => Watched;
  /** Resolves with the first state since the case began, or since the last call, that `wanted` accepts. */
  readonly connection: (
    wanted: (state: ConnectionState) => boolean,
    what: string,
  ) => Promise<ConnectionState>;
  readonly check: () => Promise<Check[]>;
  /** Disposes of the mesh, as the end of the case does otherwise. */
  readonly dispose: () => Promise<void>;
}

/** A watch, read one credential at a time; each is checked to be complete. */
export interface Watched {
  next(): Promise<Credential>;
  /** The first credential from now on that `wanted` accepts. */
  until(wanted: (credential: Credential) => boolean, what: string): Promise<Credential>;
  /** How the watch ends, reading on until it does. */
  end(): Promise<unknown>;
  abort(reason: Error): void;
  /** As a consumer does that leaves its loop. */
  leave(): Promise<void>;
}

/**
 * Runs `body`, then disposes of everything and checks what holds for every case: no handle is left open, no
 * secret was put out, nothing was logged as an error.
 *
 * `prepare` has the peer before the adapter connects to it.
 */
export async function play<S, I, P extends Peer>(
  subject: Subject<S, I, P>,
  body: (scenario: Scenario<P>) => Promise<void> | void,
  prepare?: (peer: P) => Promise<void>,
): Promise<void> {
  await using peer = await subject.start();
  await prepare?.(peer);
  const witness = createWitness();
  const openBefore = openHandles();
  await connected(subject, peer, witness, body);
  await eventually(
    () => leaked(openBefore, openHandles()).length === 0,
    () => `no handle is left open, but there is ${leaked(openBefore, openHandles()).join(", ")}`,
  );
  witness.assertNoSecretIn(peer.secrets());
  witness.assertNoErrorLogged();
}

async function connected<S, I, P extends Peer>(
  { adapter, deadlineMs = 15_000 }: Subject<S, I, P>,
  peer: P,
  witness: Witness,
  body: (scenario: Scenario<P>) => Promise<void> | void,
): Promise<void> {
  const states: ConnectionState[] = [];
  const wakers = new Set<() => void>();
  const over = new AbortController();
  const inTime = <T>(promise: Promise<T>, what: string) => within(deadlineMs, promise, what, over.signal);
  const settings = adapter.settings.parse(peer.settings);
  await using mesh = await adapter.connect(settings, {
    name: "conformance",
    clock: systemClock,
    logger: witness.logger,
    env: peer.env ?? {},
    connection(state) {
      witness.read(state);
      if (!state.connected) assertMeshError(state.error);
      states.push(state);
      for (const wake of wakers) wake();
      wakers.clear();
    },
  });

  function watch({
    identity = peer.identity,
    signal,
    ...rest
  }: Parameters<Scenario<P>["watch"]>[0] = {}): Watched {
    const own = new AbortController();
    const signals = [own.signal, over.signal, ...(signal === undefined ? [] : [signal])];
    const options = { ...rest, signal: AbortSignal.any(signals) };
    const wanted = adapter.identity.parse(identity);
    const expected = parseSpiffeIdPattern(adapter.expected(wanted));
    const iterator = mesh.watch(wanted, options)[Symbol.asyncIterator]();
    const next = async (): Promise<Credential> => {
      const result = await inTime(iterator.next(), "a credential");
      assert.ok(result.done !== true, "a watch ends only by throwing");
      witness.receive(result.value);
      assertComplete(result.value);
      const [uri = ""] = result.value.chain[0].uris;
      assert.ok(expected.test(uri), `${uri} is expected to be ${expected.toString()}`);
      return result.value;
    };
    return {
      next,
      async until(wanted, what) {
        const search = async (): Promise<Credential> => {
          const credential = await next();
          return wanted(credential) ? credential : await search();
        };
        return inTime(search(), what);
      },
      async end() {
        try {
          for (;;) await next();
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error;
          witness.read(error);
          return error;
        }
      },
      abort: (reason) => own.abort(reason),
      async leave() {
        await within(promptMs, Promise.resolve(iterator.return?.()), "the end of a watch that was left");
      },
    };
  }

  try {
    await body({
      peer,
      watch,
      connection: async (wanted, what) => {
        for (;;) {
          const state = states.shift();
          if (state === undefined) {
            await inTime(new Promise<void>((resolve) => wakers.add(resolve)), what);
          } else if (wanted(state)) return state;
        }
      },
      check: async () => {
        const checks = await inTime(mesh.check(), "the end of check()");
        witness.read(checks);
        return checks;
      },
      dispose: () => inTime(Promise.resolve(mesh[Symbol.asyncDispose]()), "the end of the disposal"),
    });
  } finally {
    over.abort(new Error("the case is over"));
  }
}

export function assertMeshError(error: unknown): asserts error is MeshError {
  assert.ok(
    MeshError.is(error),
    `what an adapter throws or reports is a MeshError, and not ${String(error)}`,
  );
  assert.ok(error.message.startsWith(`${error.code}: `), "the code leads the message");
  assert.ok(error.remedy.length > 0, "an error says what to do");
}

/** The promise's value, unless it takes longer than a limit that only a failure reaches, or `signal` aborts. */
export async function within<T>(
  limitMs: number,
  promise: Promise<T>,
  what: string,
  signal: AbortSignal = never,
): Promise<T> {
  const done = new AbortController();
  const late = systemClock.sleep(limitMs, AbortSignal.any([done.signal, signal])).then(() => {
    throw new assert.AssertionError({ message: `waited ${limitMs} ms in vain for ${what}` });
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    done.abort();
  }
}

const never = new AbortController().signal;

async function eventually(holds: () => boolean, what: () => string): Promise<void> {
  for (let triesLeft = 40; !holds(); triesLeft -= 1) {
    assert.ok(triesLeft > 0, what());
    await pause();
  }
}

/** Between two looks at something that gives no notice of itself. */
export function pause(): Promise<void> {
  return systemClock.sleep(50, never);
}

/** What keeps the process alive, by kind: timers, sockets, servers, requests. */
function openHandles(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

function leaked(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string[] {
  return [...after].filter(([kind, count]) => count > (before.get(kind) ?? 0)).map(([kind]) => kind);
}
