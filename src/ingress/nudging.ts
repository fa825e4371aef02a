import type { Clock } from "../clock.ts";

/** When Emissary has sent its last snapshot and no Mapping has changed for so long, the next one begins with the nudge, and has it alone. */
const quietMs = 1_100;

/** How long a nudge waits for such a moment: below this at first, twice as long each further time. */
const firstHoldMs = 1_000;
const maxHoldMs = 30_000;

/** Between two nudges it is no longer than this, also where Emissary takes nothing at all: when somebody has mended the Secret, it is the nudge that ends it. */
const maxPauseMs = 20_000;

/**
 * When an Emissary is to be nudged: never unless a pod has missed something; at a moment when no Mapping changes, if there is one, and else at
 * growing intervals, as a change of a Mapping in the same snapshot eats the nudge. After one that may have been eaten, the next quiet moment is taken.
 */
export class Nudging {
  readonly #clock: Clock;
  #count = 0;
  #lastMs: number | undefined;
  #jitter: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#jitter = clock.random();
  }

  /** How often it was nudged since it last had all. */
  get count(): number {
    return this.#count;
  }

  get lastMs(): number | undefined {
    return this.#lastMs;
  }

  /** Nothing is missed any more. */
  rest(): void {
    this.#count = 0;
  }

  nudged(): void {
    this.#count += 1;
    this.#lastMs = this.#clock.elapsedMs();
    this.#jitter = this.#clock.random();
  }

  /** In how many milliseconds it is time; 0: now. */
  dueInMs({ sinceMs, patienceMs, mappingChangedMs, isFrozen }: Need): number {
    const nowMs = this.#clock.elapsedMs();
    const last = this.#count === 0 ? undefined : this.#lastMs;
    // One that a Mapping may have eaten says nothing against another.
    const mayBeEaten = last !== undefined && mappingChangedMs !== undefined && mappingChangedMs > last;
    const growth = 2 ** Math.min(this.#count - 1, mayBeEaten ? 1 : Infinity);
    const pauseMs = isFrozen ? maxPauseMs : Math.min(patienceMs * growth, maxPauseMs);
    const earliest = last === undefined ? sinceMs : last + pauseMs;
    const quietAt = mappingChangedMs === undefined ? nowMs : mappingChangedMs + quietMs;
    const holdMs = Math.min(firstHoldMs * 2 ** this.#count, maxHoldMs) * (0.5 + this.#jitter / 2);
    return Math.max(earliest, Math.min(quietAt, (last ?? sinceMs) + holdMs)) - nowMs;
  }
}

export interface Need {
  /** Since when something is late, by `elapsedMs()`. */
  readonly sinceMs: number;
  /** How long a pod may take for what it gets. */
  readonly patienceMs: number;
  readonly mappingChangedMs: number | undefined;
  readonly isFrozen: boolean;
}
