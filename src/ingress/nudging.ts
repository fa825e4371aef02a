import type { Clock } from "../clock.ts";
import { type MappingChange, snapshotWindowMs } from "../emissary/snapshots.ts";

/** After Emissary is done with one snapshot, to be sure of it. */
const marginMs = 100;

/** How long a nudge waits for a moment in which it has a snapshot for itself: below this at first, twice as long each further time. */
const firstHoldMs = 2_000;
const maxHoldMs = 10_000;

/** Between two nudges it is no longer than this, also where Emissary takes nothing at all: when somebody has mended the Secret, it is the nudge that ends it. */
const maxPauseMs = 20_000;

/**
 * When an Emissary is to be nudged: never unless a pod has missed something. At best in a moment when Emissary takes a change at once, as a Mapping in the same snapshot
 * eats the nudge; and now and then in any other, if no such moment comes, or Mappings change where nobody sees it.
 */
export class Nudging {
  readonly #clock: Clock;
  /** Since it last had all: those in a quiet moment, and the others. */
  #quiet = 0;
  #forced = 0;
  #lastMs: number | undefined;
  #writtenMs: number | undefined;
  #jitter: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#jitter = clock.random();
  }

  /** How often it was nudged since it last had all. */
  get count(): number {
    return this.#quiet + this.#forced;
  }

  /** When the last one was written, by `elapsedMs()`; others may have failed since. */
  get writtenMs(): number | undefined {
    return this.#writtenMs;
  }

  /** Nothing is missed any more. */
  rest(): void {
    this.#quiet = 0;
    this.#forced = 0;
  }

  /** One is about to be written. */
  nudged(need: Need): void {
    const nowMs = this.#clock.elapsedMs();
    if (this.#mayBeEaten(need)) this.#quiet = 0;
    if (nowMs >= quietAtMs(need)) this.#quiet += 1;
    else this.#forced += 1;
    this.#lastMs = nowMs;
    this.#jitter = this.#clock.random();
  }

  /** The last one is written. */
  written(): void {
    this.#writtenMs = this.#clock.elapsedMs();
  }

  /** In how many milliseconds it is time; 0 or less: now. */
  dueInMs(need: Need): number {
    const { sinceMs, patienceMs, isFrozen } = need;
    const nowMs = this.#clock.elapsedMs();
    const last = this.count === 0 ? undefined : this.#lastMs;
    const holdMs = Math.min(firstHoldMs * 2 ** this.count, maxHoldMs) * (0.5 + this.#jitter / 2);
    if (last === undefined) return Math.min(Math.max(sinceMs, quietAtMs(need)), sinceMs + holdMs) - nowMs;
    const pauseMs = isFrozen ? maxPauseMs : this.#pauseMs(need);
    const forcedMs = isFrozen
      ? maxPauseMs
      : Math.max(patienceMs, holdMs, this.#mayBeEaten(need) ? 0 : pauseMs);
    return last + Math.min(Math.max(pauseMs, quietAtMs(need) - last), forcedMs) - nowMs;
  }

  /** Until the next nudge in a quiet moment. */
  #pauseMs(need: Need): number {
    // As soon as it is seen that the last one came to nothing.
    if (this.#mayBeEaten(need)) return snapshotWindowMs + 2 * need.reconfigurationMs;
    return Math.min(need.patienceMs * 2 ** Math.max(this.#quiet - 1, 0), maxPauseMs);
  }

  /** Whether a Mapping has changed since the last nudge, which says nothing against another one then. */
  #mayBeEaten({ mappings }: Need): boolean {
    return mappings !== undefined && this.#lastMs !== undefined && mappings.changedMs > this.#lastMs;
  }
}

export interface Need {
  /** Whether Emissary is known to take nothing at all. */
  readonly isFrozen: boolean;
  /** Since when something is late, by `elapsedMs()`. */
  readonly sinceMs: number;
  /** How long a pod may take for what it gets. */
  readonly patienceMs: number;
  /** How long the longest reconfiguration of a pod took. */
  readonly reconfigurationMs: number;
  readonly mappings: MappingChange | undefined;
}

/** When what changes is taken at once, and alone, by `elapsedMs()`. */
function quietAtMs({ mappings, reconfigurationMs }: Need): number {
  const { takenMs = -Infinity } = mappings ?? {};
  return takenMs + Math.max(snapshotWindowMs, reconfigurationMs) + marginMs;
}
