import type { Clock } from "./clock.ts";

/** When a key is due: at the earlier of the two. */
interface Due {
  /** After so many milliseconds of `clock.elapsedMs()`, whatever the wall clock shows. */
  readonly afterMs?: number | undefined;
  /** Once `clock.now()` shows this date, however the wall clock is set meanwhile; at most a minute late. */
  readonly at?: Date | undefined;
}

/** The wall clock may step and no timer notices: dates are compared with it at least this often. */
const recheckMs = 60_000;

/**
 * Calls back for any number of keys, each at its time, with a single timer for all of them.
 *
 * A binary heap orders the keys by the moment at which to look at them next, on the scale of
 * `clock.elapsedMs()`. For a wait that moment is its end. A date is looked at when it should have come, and
 * at each full minute until then: at the same moment for all dates, so that thousands of them wake the
 * process once a minute.
 */
export class TimerQueue<K> implements Disposable {
  readonly #clock: Clock;
  readonly #onDue: (key: K) => void;
  readonly #entries = new Map<K, Entry<K>>();
  readonly #heap: Entry<K>[] = [];
  #timer = new AbortController();
  /** When the timer fires; Infinity while there is none. */
  #timerMs = Infinity;

  constructor(clock: Clock, onDue: (key: K) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** Calls back once for `key` when it is due, in place of what was scheduled for it before. */
  schedule(key: K, { afterMs = Infinity, at }: Due): void {
    this.clear(key);
    const nowMs = this.#clock.elapsedMs();
    const entry: Entry<K> = {
      key,
      endMs: nowMs + afterMs,
      dateMs: at?.getTime() ?? Infinity,
      lookMs: 0,
      index: 0,
    };
    entry.lookMs = this.#nextLookMs(entry, nowMs);
    if (entry.lookMs === Infinity) return;
    this.#entries.set(key, entry);
    this.#place(entry, this.#heap.length);
    this.#rise(entry);
    this.#arm();
  }

  /** As {@link schedule}, unless `key` is due earlier already: repeated calls do not postpone it. */
  hasten(key: K, afterMs: number): void {
    const endMs = this.#entries.get(key)?.endMs ?? Infinity;
    if (this.#clock.elapsedMs() + afterMs < endMs) this.schedule(key, { afterMs });
  }

  /** Nothing is scheduled for `key` any more. */
  clear(key: K): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    const last = this.#heap.pop();
    if (last !== undefined && last !== entry) {
      this.#place(last, entry.index);
      this.#rise(last);
      this.#sink(last);
    }
    if (this.#heap.length === 0) this.#disarm();
  }

  [Symbol.dispose](): void {
    this.#entries.clear();
    this.#heap.length = 0;
    this.#disarm();
  }

  #nextLookMs({ endMs, dateMs }: Entry<K>, nowMs: number): number {
    if (dateMs === Infinity) return endMs;
    const leftMs = Math.max(dateMs - this.#clock.now().getTime(), 0);
    const nextRecheckMs = (Math.floor(nowMs / recheckMs) + 1) * recheckMs;
    return Math.min(endMs, nowMs + leftMs, nextRecheckMs);
  }

  #arm(): void {
    const [first] = this.#heap;
    if (first === undefined || first.lookMs >= this.#timerMs) return;
    this.#disarm();
    this.#timerMs = first.lookMs;
    this.#clock.sleep(Math.max(first.lookMs - this.#clock.elapsedMs(), 0), this.#timer.signal).then(
      () => this.#fire(),
      () => undefined,
    );
  }

  #disarm(): void {
    if (this.#timerMs === Infinity) return;
    // A reason of its own costs no DOMException with a stack.
    this.#timer.abort("disarmed");
    this.#timer = new AbortController();
    this.#timerMs = Infinity;
  }

  #fire(): void {
    // A timer may fire a fraction of a millisecond early.
    const nowMs = Math.max(this.#timerMs, this.#clock.elapsedMs());
    this.#timerMs = Infinity;
    const due: K[] = [];
    for (let [first] = this.#heap; first !== undefined && first.lookMs <= nowMs; [first] = this.#heap) {
      if (first.endMs <= nowMs || first.dateMs <= this.#clock.now().getTime()) {
        due.push(first.key);
        this.clear(first.key);
      } else {
        // Later than now in any case: a date that comes this very moment is looked at a millisecond later.
        first.lookMs = Math.max(this.#nextLookMs(first, nowMs), nowMs + 1);
        this.#sink(first);
      }
    }
    this.#arm();
    for (const key of due) this.#onDue(key);
  }

  #rise(entry: Entry<K>): void {
    while (entry.index > 0) {
      const parent = this.#heap[(entry.index - 1) >> 1];
      if (parent === undefined || parent.lookMs <= entry.lookMs) return;
      this.#swap(entry, parent);
    }
  }

  #sink(entry: Entry<K>): void {
    for (;;) {
      const left = this.#heap[2 * entry.index + 1];
      const right = this.#heap[2 * entry.index + 2];
      const child = right !== undefined && left !== undefined && right.lookMs < left.lookMs ? right : left;
      if (child === undefined || child.lookMs >= entry.lookMs) return;
      this.#swap(child, entry);
    }
  }

  #swap(one: Entry<K>, other: Entry<K>): void {
    const { index } = one;
    this.#place(one, other.index);
    this.#place(other, index);
  }

  #place(entry: Entry<K>, index: number): void {
    entry.index = index;
    this.#heap[index] = entry;
  }
}

interface Entry<K> {
  readonly key: K;
  /** The end of the wait, by `elapsedMs()`; Infinity without one. */
  readonly endMs: number;
  /** The date, in milliseconds since 1970; Infinity without one. */
  readonly dateMs: number;
  /** When to look at it next, by `elapsedMs()`. */
  lookMs: number;
  /** Its place in the heap. */
  index: number;
}

const timerQueues = new WeakMap<Clock, TimerQueue<() => void>>();

/** One queue for all that wait by the same clock: 10,000 leaves that wait for their renewal take one timer. */
export function timersOf(clock: Clock): TimerQueue<() => void> {
  const queue = timerQueues.get(clock) ?? new TimerQueue<() => void>(clock, (wake) => wake());
  timerQueues.set(clock, queue);
  return queue;
}

/**
 * Resolves once the clock shows `date` or later, at most a minute late if it is set forwards meanwhile.
 * Rejects with the signal's reason as soon as it aborts.
 */
export async function sleepUntil(date: Date, clock: Clock, signal: AbortSignal): Promise<void> {
  if (date <= clock.now()) return;
  signal.throwIfAborted();
  const queue = timersOf(clock);
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const wake = () => resolve(undefined);
  const abort = () => {
    queue.clear(wake);
    reject(signal.reason);
  };
  signal.addEventListener("abort", abort, { once: true });
  queue.schedule(wake, { at: date });
  try {
    await promise;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
