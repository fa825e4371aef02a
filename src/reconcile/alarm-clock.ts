import { type Clock, sleepUntil } from "../clock.ts";

/** When to ring although nothing has happened. */
export interface Alarms {
  /** Once the clock shows it, however it is set meanwhile. */
  readonly until?: Date | undefined;
  /** Once so much time has passed, whatever the clock shows. */
  readonly afterMs?: number | undefined;
}

export interface Sleeper {
  ring(): void;
}

/** Rings any number of sleepers, for all dates with one timer: one for each would take 1 KB an identity. */
export class AlarmClock {
  readonly #clock: Clock;
  /** When each is to be rung, in milliseconds since 1970. */
  readonly #due = new Map<Sleeper, number>();
  /** The few that something went wrong for: each has a timer of its own. */
  readonly #sleeps = new Map<Sleeper, AbortController>();
  #timer = new AbortController();
  /** When the timer goes off: at the first time that is due, or before. */
  #timerAt = Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Rings `sleeper` when one of `alarms` goes off, and at nothing that was set before. */
  set(sleeper: Sleeper, { until, afterMs }: Alarms): void {
    this.clear(sleeper);
    if (afterMs !== undefined) this.#sleep(sleeper, afterMs);
    if (until === undefined) return;
    this.#due.set(sleeper, until.getTime());
    if (until.getTime() < this.#timerAt) this.#start(until.getTime());
  }

  clear(sleeper: Sleeper): void {
    this.#sleeps.get(sleeper)?.abort();
    this.#sleeps.delete(sleeper);
    this.#due.delete(sleeper);
    if (this.#due.size === 0) this.#stop();
  }

  #sleep(sleeper: Sleeper, ms: number): void {
    const over = new AbortController();
    this.#sleeps.set(sleeper, over);
    this.#clock.sleep(ms, over.signal).then(
      () => sleeper.ring(),
      () => undefined,
    );
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
    const due = this.#due.entries().filter(([, at]) => at <= now);
    for (const [sleeper] of due.toArray()) {
      this.#due.delete(sleeper);
      sleeper.ring();
    }
    this.#timerAt = Infinity;
    if (this.#due.size > 0) this.#start(this.#due.values().reduce((one, other) => Math.min(one, other)));
  }
}
