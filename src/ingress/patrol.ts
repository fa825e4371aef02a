import type { Clock } from "../runtime/clock.ts";

/** A pod that does not answer keeps the others waiting no longer. */
const maxWaitMs = 2_000;

/** How soon one asks again whose turn it is not. */
const turnMs = 100;

/**
 * Of all pods together, on average. Reading a page costs 3 ms of CPU for each MB, 64 ms for the 21 MB of
 * 1,000 TLS clusters: this is 0.2 % of a core.
 */
const bytesPerMs = 700;

/** Has pods looked at one at a time, in turn, and so rarely that reading their pages costs little. */
export class Patrol<T> {
  readonly #clock: Clock;
  readonly #waiting = new Set<T>();
  #freeMs = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Lets one begin to look if it is its turn; otherwise returns after how many milliseconds to ask again. */
  begin(who: T): number {
    this.#waiting.add(who);
    const nowMs = this.#clock.elapsedMs();
    const [first] = this.#waiting;
    if (nowMs < this.#freeMs) return this.#freeMs - nowMs;
    if (first !== who) return turnMs;
    this.#waiting.delete(who);
    this.#freeMs = nowMs + maxWaitMs;
    return 0;
  }

  /** The look that began at `beganMs` is over. */
  end(beganMs: number, bytes: number): void {
    const freeMs = beganMs + bytes / bytesPerMs;
    // Meanwhile another one may have begun.
    const isLast = this.#freeMs === beganMs + maxWaitMs;
    this.#freeMs = isLast ? freeMs : Math.max(this.#freeMs, freeMs);
  }

  /** It does not want to look any more. */
  leave(who: T): void {
    this.#waiting.delete(who);
  }
}
