import type { Clock } from "../../runtime/clock.ts";

/** Calls back after a time: of several for the same key, after the shortest. */
export class Timers<K> implements Disposable {
  readonly #clock: Clock;
  readonly #onDue: (key: K) => void;
  readonly #timers = new Map<K, { readonly atMs: number; readonly over: AbortController }>();

  constructor(clock: Clock, onDue: (key: K) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  set(key: K, afterMs: number): void {
    const before = this.#timers.get(key);
    const atMs = this.#clock.elapsedMs() + afterMs;
    if (before !== undefined && before.atMs <= atMs) return;
    before?.over.abort();
    const over = new AbortController();
    this.#timers.set(key, { atMs, over });
    const due = () => {
      this.#timers.delete(key);
      this.#onDue(key);
    };
    this.#clock.sleep(afterMs, over.signal).then(due, () => undefined);
  }

  [Symbol.dispose](): void {
    for (const { over } of this.#timers.values()) over.abort();
  }
}
