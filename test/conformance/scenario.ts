import { systemClock } from "../../src/mesh/adapter.ts";
import type { Check, ConnectionState, Mesh, WatchOptions } from "../../src/mesh/adapter.ts";
import { assertMeshError } from "./errors.ts";
import { assertNoneLeft, openHandles } from "./handles.ts";
import type { Peer, Subject } from "./subject.ts";
import { within } from "./time.ts";
import { watch, type Watched } from "./watched.ts";
import { createWitness, type Witness } from "./witness.ts";

/** One adapter, connected to one control plane, in one case. */
export interface Scenario<P extends Peer> {
  readonly peer: P;
  /** Begins a watch that ends with the case; of the peer's identity, if no other is given. */
  readonly watch: (options?: Partial<WatchOptions> & { readonly identity?: unknown }) => Watched;
  /** The first state since the case began, or since the last call, that `wanted` accepts. */
  readonly connection: (
    wanted: (state: ConnectionState) => boolean,
    what: string,
  ) => Promise<ConnectionState>;
  readonly check: () => Promise<Check[]>;
  /** Disposes of the mesh, as the end of the case does otherwise. */
  readonly dispose: () => Promise<void>;
}

export type Body<P extends Peer> = (scenario: Scenario<P>) => Promise<void> | void;

export interface Play<P extends Peer> {
  readonly body: Body<P>;
  /** Has the peer before the adapter connects to it. */
  readonly prepare?: (peer: P) => Promise<void>;
  /** How often the adapter connects and `body` runs; once by default. */
  readonly rounds?: number;
}

/**
 * Runs `body`, then disposes of everything and checks what holds for every case: no handle is left open, no
 * secret was put out, nothing was logged as an error, what was reported are MeshErrors.
 */
export async function play<S, I, P extends Peer>(
  subject: Subject<S, I, P>,
  { body, prepare, rounds = 1 }: Play<P>,
): Promise<void> {
  await using peer = await subject.start();
  await prepare?.(peer);
  const witness = createWitness();
  const before = openHandles();
  for (let round = 0; round < rounds; round += 1) {
    const states = await playConnected(subject, peer, witness, body);
    for (const state of states) if (!state.connected) assertMeshError(state.error);
  }
  await assertNoneLeft(before);
  witness.assertNoSecretIn(peer.secrets());
  witness.assertNoErrorLogged();
}

/** @returns every state that was reported */
async function playConnected<S, I, P extends Peer>(
  { adapter, deadlineMs = 15_000 }: Subject<S, I, P>,
  peer: P,
  witness: Witness,
  body: Body<P>,
): Promise<readonly ConnectionState[]> {
  const states: ConnectionState[] = [];
  const wakers = new Set<() => void>();
  let looked = 0;
  const over = new AbortController();
  const inTime = <T>(promise: Promise<T>, what: string) => within(deadlineMs, promise, what, over.signal);

  await using mesh: Mesh<I> = await adapter.connect(adapter.settings.parse(peer.settings), {
    name: "conformance",
    clock: systemClock,
    logger: witness.logger,
    env: peer.env ?? {},
    ...(peer.cluster && { cluster: peer.cluster }),
    connection(state) {
      witness.read(state);
      states.push(state);
      for (const wake of wakers) wake();
      wakers.clear();
    },
  });

  try {
    await body({
      peer,
      watch: (options) => watch({ peer, ...options, adapter, mesh, witness, over: over.signal, deadlineMs }),
      connection: async (wanted, what) => {
        for (;;) {
          const state = states[looked];
          if (state === undefined) {
            await inTime(new Promise<void>((resolve) => wakers.add(resolve)), what);
          } else {
            looked += 1;
            if (wanted(state)) return state;
          }
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
  return states;
}
