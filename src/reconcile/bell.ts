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

  /** Resolves at the next ring, when one of `alarms` goes off at the latest, and at once when `signal` aborts. */
  async wait({ until, afterMs }: Alarms, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const over = new AbortController();
    const ring = () => this.ring();
    signal.addEventListener("abort", ring);
    // The losers of the race end with the wait, and that it was aborted concerns nobody.
    const alarms: Promise<void>[] = [];
    if (until !== undefined) alarms.push(sleepUntil(until, this.#clock, over.signal));
    if (afterMs !== undefined) alarms.push(this.#clock.sleep(afterMs, over.signal));
    const ended = alarms.map((alarm) => alarm.then(ring, () => undefined));
    await this.#rung.promise;
    signal.removeEventListener("abort", ring);
    over.abort();
    await Promise.all(ended);
    this.#rung = Promise.withResolvers();
  }
}

/** When to wake although nobody has rung. */
export interface Alarms {
  /** Once the clock shows it, however it is set meanwhile. */
  readonly until?: Date | undefined;
  /** Once so much time has passed, whatever the clock shows. */
  readonly afterMs?: number | undefined;
}
