import type { Clock } from "./clock.ts";

/** Wall time may step, timers do not: a long wait asks for the time again at least this often. */
const recheckMs = 60_000;

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

/** Rings any number of sleepers, for all dates with one timer: a thousand of them would each look at the clock every minute. */
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
    const leftMs = Math.max(at - this.#clock.now().getTime(), 0);
    this.#clock.sleep(Math.min(leftMs, recheckMs), this.#timer.signal).then(
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
    this.#timerAt = Infinity;
    const now = this.#clock.now().getTime();
    const due = this.#due.entries().filter(([, at]) => at <= now);
    for (const [sleeper] of due.toArray()) {
      this.#due.delete(sleeper);
      sleeper.ring();
    }
    const next = this.#due.values().reduce((one, other) => Math.min(one, other), Infinity);
    if (next < this.#timerAt) this.#start(next);
  }
}

/** For all who sleep by the same clock. */
const alarmClocks = new WeakMap<Clock, AlarmClock>();

/**
 * Resolves once the clock shows `date` or later, at most a minute late if it is set forwards meanwhile. Rejects with the
 * signal's reason as soon as it aborts.
 */
export async function sleepUntil(date: Date, clock: Clock, signal: AbortSignal): Promise<void> {
  if (date <= clock.now()) return;
  signal.throwIfAborted();
  const alarmClock = alarmClocks.get(clock) ?? new AlarmClock(clock);
  alarmClocks.set(clock, alarmClock);
  await new Promise<void>((resolve, reject) => {
    const sleeper = {
      ring() {
        signal.removeEventListener("abort", abort);
        resolve();
      },
    };
    const abort = () => {
      alarmClock.clear(sleeper);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", abort, { once: true });
    alarmClock.set(sleeper, { until: date });
  });
}
