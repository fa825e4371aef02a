import type { Clock } from "../clock.ts";
import type { AlarmClock } from "./alarm-clock.ts";

/**
 * Wakes one waiter. However often it is rung while nobody waits, the next wait ends at once, and once: whoever
 * answers looks at everything anew, so that no ring needs to say why.
 */
export class Bell {
  readonly #clock: Clock;
  readonly #alarmClock: AlarmClock;
  #isRung = false;
  #answer: (() => void) | undefined;

  constructor(clock: Clock, alarmClock: AlarmClock) {
    this.#clock = clock;
    this.#alarmClock = alarmClock;
  }

  ring(): void {
    if (this.#answer === undefined) this.#isRung = true;
    else this.#answer();
    this.#answer = undefined;
    this.#alarmClock.set(this, undefined);
  }

  /** Resolves at the next ring, or when one of `alarms` goes off. */
  wait({ until, afterMs }: Alarms): Promise<void> {
    if (!this.#isRung) this.#alarmClock.set(this, until);
    const rung = this.#isRung ? Promise.resolve() : new Promise<void>((resolve) => (this.#answer = resolve));
    return (afterMs === undefined ? rung : this.#ringAfter(afterMs, rung)).then(() => {
      this.#isRung = false;
    });
  }

  async #ringAfter(ms: number, rung: Promise<void>): Promise<void> {
    const over = new AbortController();
    const ended = this.#clock.sleep(ms, over.signal).then(
      () => this.ring(),
      // It was rung before, and that concerns nobody.
      () => undefined,
    );
    await rung;
    over.abort();
    await ended;
  }
}

/** When to wake although nobody has rung. */
export interface Alarms {
  /** Once the clock shows it, however it is set meanwhile. */
  readonly until?: Date | undefined;
  /** Once so much time has passed, whatever the clock shows. */
  readonly afterMs?: number | undefined;
}
