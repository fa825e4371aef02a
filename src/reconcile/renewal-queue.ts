import type { Clock } from "../clock.ts";
import { unlessAborted } from "../mesh/unless-aborted.ts";

/** From one turn to the next; a mesh's CA has other things to do, too. In milliseconds, as all here. */
const paceMs = 200;

/** A mesh that is away must not hold up the others for ever; its answer counts whenever it comes. */
const longestTurnMs = 30_000;

/** Lets one identity after the other ask its mesh for a new leaf, in the order of asking, each mesh for itself. */
export class RenewalQueue {
  readonly #clock: Clock;
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does `work` when it is its turn; rejects when `signal` aborts. */
  async turn(mesh: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const before = this.#last.get(mesh) ?? Promise.resolve();
    const end = Promise.withResolvers<undefined>();
    this.#last.set(
      mesh,
      before.then(() => end.promise),
    );
    const over = new AbortController();
    try {
      await unlessAborted(before, signal);
      await Promise.race([work(), this.#clock.sleep(longestTurnMs, AbortSignal.any([signal, over.signal]))]);
      await this.#clock.sleep(paceMs, signal);
    } finally {
      over.abort();
      end.resolve(undefined);
    }
  }
}
