import type { Clock } from "../runtime/clock.ts";
import { unlessAborted } from "../runtime/abort.ts";

/** From one turn to the next; a mesh's CA has other things to do, too. In milliseconds, as all here. */
const paceMs = 200;

/** A mesh that is away must not hold up the others for ever; its answer counts whenever it comes. */
const longestTurnMs = 30_000;

/** Who asks, and whom. */
export interface Requester {
  readonly mesh: string;
  readonly namespace: string;
}

/**
 * Lets one identity after the other ask its mesh for a new leaf, each mesh for itself. Namespaces take turns, so that
 * none has to wait for all that another one wants; within one it is first come, first served.
 */
export class FairQueue {
  readonly #clock: Clock;
  readonly #queues = new Map<string, MeshQueue>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does `work` when it is its turn; rejects when `signal` aborts. */
  async acquire(
    { mesh, namespace }: Requester,
    work: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const queue = this.#queues.get(mesh) ?? new MeshQueue();
    this.#queues.set(mesh, queue);
    await queue.enter(namespace, signal);
    const over = new AbortController();
    try {
      await Promise.race([work(), this.#clock.sleep(longestTurnMs, AbortSignal.any([signal, over.signal]))]);
      await this.#clock.sleep(paceMs, signal);
    } finally {
      over.abort();
      queue.leave();
    }
  }
}

interface Waiting {
  readonly namespace: string;
  readonly begin: () => void;
}

class MeshQueue {
  #isTaken = false;
  /** In their order. */
  readonly #waiting = new Set<Waiting>();
  /** The number of each namespace's last turn. */
  readonly #last = new Map<string, number>();
  #turns = 0;

  async enter(namespace: string, signal: AbortSignal): Promise<void> {
    if (this.#isTaken) await this.#wait(namespace, signal);
    this.#isTaken = true;
    this.#last.set(namespace, (this.#turns += 1));
  }

  leave(): void {
    const [first] = this.#waiting;
    if (first === undefined) {
      this.#isTaken = false;
      return;
    }
    let next = first;
    for (const one of this.#waiting) if (this.#lastOf(one) < this.#lastOf(next)) next = one;
    this.#waiting.delete(next);
    // It takes the line over, which is not free in between.
    next.begin();
  }

  async #wait(namespace: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const waiting = { namespace, begin: () => resolve(undefined) };
    this.#waiting.add(waiting);
    try {
      await unlessAborted(promise, signal);
    } catch (error) {
      // It may just have become its turn.
      if (!this.#waiting.delete(waiting)) this.leave();
      throw error;
    }
  }

  #lastOf({ namespace }: Waiting): number {
    return this.#last.get(namespace) ?? 0;
  }
}
