import { type Clock, sleepUntil } from "../clock.ts";

/**
 * Wakes one waiter. However often it is rung while nobody waits, the next wait ends at once, and once: whoever
 * answers looks at everything anew, so that no ring needs to say why.
 */
export class Bell {
  readonly #clock: Clock;
  #rung = Promise.withResolvers<undefined>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    this.#rung.resolve(undefined);
  }

  /** Resolves at the next ring, at `until` at the latest, and at once when `signal` aborts. */
  async wait(until: Date | undefined, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const over = new AbortController();
    const ring = () => this.ring();
    signal.addEventListener("abort", ring);
    // The loser of the race ends with the wait, and that it was aborted concerns nobody.
    const alarm = until && sleepUntil(until, this.#clock, over.signal).then(ring, () => undefined);
    await this.#rung.promise;
    signal.removeEventListener("abort", ring);
    over.abort();
    await alarm;
    this.#rung = Promise.withResolvers();
  }
}
