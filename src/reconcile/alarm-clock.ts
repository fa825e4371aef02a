import { type Clock, sleepUntil } from "../clock.ts";

/** Wakes any number of sleepers, each at its time, with one timer: one for each would take 1 KB an identity. */
export class AlarmClock {
  readonly #clock: Clock;
  /** When each is to be rung, in milliseconds since 1970. */
  readonly #due = new Map<Sleeper, number>();
  #timer = new AbortController();
  /** When the timer goes off: at the first time that is due, or before. */
  #timerAt = Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Rings `sleeper` once the clock shows `at` or later, and not at what was set before; without `at`, not at all. */
  set(sleeper: Sleeper, at: Date | undefined): void {
    if (at === undefined) this.#due.delete(sleeper);
    else this.#due.set(sleeper, at.getTime());
    if (this.#due.size === 0) this.#stop();
    else if (at !== undefined && at.getTime() < this.#timerAt) this.#start(at.getTime());
  }

  #start(at: number): void {
    this.#stop();
    this.#timerAt = at;
    sleepUntil(new Date(at), this.#clock, this.#timer.signal).then(
      () => this.#ring(),
      () => undefined,
    );
  }

  #stop(): void {
    if (this.#timerAt === Infinity) return;
    this.#timer.abort();
    this.#timer = new AbortController();
    this.#timerAt = Infinity;
  }

  #ring(): void {
    const now = this.#clock.now().getTime();
    const due = this.#due
      .entries()
      .filter(([, at]) => at <= now)
      .toArray();
    for (const [sleeper] of due) {
      this.#due.delete(sleeper);
      sleeper.ring();
    }
    this.#timerAt = Infinity;
    if (this.#due.size > 0) this.#start(this.#due.values().reduce((one, other) => Math.min(one, other)));
  }
}

export interface Sleeper {
  ring(): void;
}
