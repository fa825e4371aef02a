import { sleepUntil } from "../../runtime/timer-queue.ts";
import type { Clock } from "../../runtime/clock.ts";

/** Calls back once a time has come: of several for the same thing, at the earliest. */
export class Alarms<K> implements Disposable {
  readonly #clock: Clock;
  readonly #onDue: (key: K) => void;
  readonly #set = new Map<K, Alarm>();

  constructor(clock: Clock, onDue: (key: K) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  set(key: K, date: Date): void {
    const before = this.#set.get(key);
    if (before !== undefined && before.date <= date) return;
    before?.over.abort();
    const over = new AbortController();
    this.#set.set(key, { date, over });
    const due = () => {
      this.#set.delete(key);
      this.#onDue(key);
    };
    // That it was put off concerns nobody.
    sleepUntil(date, this.#clock, over.signal).then(due, () => undefined);
  }

  [Symbol.dispose](): void {
    for (const { over } of this.#set.values()) over.abort();
  }
}

interface Alarm {
  readonly date: Date;
  readonly over: AbortController;
}
