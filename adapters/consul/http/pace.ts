import type { Clock } from "../../../src/mesh/adapter.ts";

/** An answer to a blocking query that comes sooner than this did not block. */
const quickMs = 1000;

/** So many quick answers in a row are taken for news: a rotation, a restart. */
const free = 5;

const [baseMs, capMs] = [1000, 30_000];

/**
 * Keeps queries apart where the server does not block them: an index that always moves, or none, and leaves
 * that live so short that Consul makes a new one each time (below 10 minutes).
 */
export class Pace {
  readonly #clock: Clock;
  #quickInARow = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Waits, if need be, after an answer to what was asked at `askedAtMs`, as `clock.elapsedMs()` counts. */
  async keep(askedAtMs: number, signal: AbortSignal): Promise<void> {
    const isQuick = this.#clock.elapsedMs() - askedAtMs < quickMs;
    this.#quickInARow = isQuick ? this.#quickInARow + 1 : 0;
    const tooMany = this.#quickInARow - free;
    if (tooMany <= 0) return;
    const longestMs = Math.min(capMs, baseMs * 2 ** (tooMany - 1));
    await this.#clock.sleep((longestMs * (1 + this.#clock.random())) / 2, signal);
  }
}
