import type { Clock } from "../runtime/clock.ts";
import { type MappingChange, snapshotWindowMs } from "../emissary/consumer.ts";

/** After Emissary is done with one snapshot, to be sure of it. */
const marginMs = 100;

/** How long a nudge waits for a moment in which it has a snapshot for itself: below this at first, twice as long each further time. */
const firstHoldMs = 2_000;
const maxHoldMs = 10_000;

/** As long as a nudge may heal anything, it is no longer between two of them than this, also where Emissary takes nothing at all: when somebody has mended the Secret, it is the nudge that ends it. */
const maxPauseMs = 20_000;

/** After so many that were taken, each alone, and changed nothing, it is nothing that a nudge heals: the pause doubles from there, up to this. */
const nudgesInVain = 5;
const maxRareMs = 600_000;

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
  /** How many in a row were taken and changed nothing, since anything new was late. */
  #vain = 0;
  /** Whether no Mapping changed around the last one; nothing as long as it is too early to say. */
  #isAlone: boolean | undefined;
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
    this.#vain = 0;
  }

  /** One is about to be written. */
  nudged(need: Need): void {
    const nowMs = this.#clock.elapsedMs();
    const isQuiet = nowMs >= quietAtMs(need);
    this.#judge(need);
    if (need.isFrozen || this.#isNew(need)) this.#vain = 0;
    else if (this.#isWritten && need.isTaken) {
      // Once it is known, also one that was eaten makes them rarer.
      if (this.#isAlone === true || this.#vain >= nudgesInVain) this.#vain += 1;
    }
    this.#isAlone = isQuiet ? undefined : false;
    if (this.#mayBeEaten(need)) this.#quiet = 0;
    if (isQuiet) this.#quiet += 1;
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
    this.#judge(need);
    const nowMs = this.#clock.elapsedMs();
    const last = this.count === 0 ? undefined : this.#lastMs;
    const holdMs = Math.min(firstHoldMs * 2 ** this.count, maxHoldMs) * (0.5 + this.#jitter / 2);
    if (last === undefined) return Math.min(Math.max(sinceMs, quietAtMs(need)), sinceMs + holdMs) - nowMs;
    if (isFrozen) return last + maxPauseMs - nowMs;
    const isRare = this.#vain >= nudgesInVain && !this.#isNew(need);
    const pauseMs = isRare
      ? Math.min(maxPauseMs * 2 ** (this.#vain - nudgesInVain + 1), maxRareMs)
      : this.#pauseMs(need);
    const forcedMs = isRare
      ? pauseMs + maxHoldMs
      : Math.max(patienceMs, holdMs, this.#mayBeEaten(need) ? 0 : pauseMs);
    return last + Math.min(Math.max(pauseMs, quietAtMs(need) - last), forcedMs) - nowMs;
  }

  /** Until the next nudge in a quiet moment. */
  #pauseMs(need: Need): number {
    // As soon as it is seen that the last one came to nothing.
    if (this.#mayBeEaten(need)) return snapshotWindowMs + 2 * need.reconfigurationMs;
    return Math.min(need.patienceMs * 2 ** Math.max(this.#quiet - 1, 0), maxPauseMs);
  }

  /** Looks, as soon as it can be told, whether a Mapping may have shared the snapshot of the last nudge: later ones say nothing of it. */
  #judge(need: Need): void {
    if (this.#isAlone !== undefined || this.#lastMs === undefined) return;
    const untilMs = this.#lastMs + Math.max(snapshotWindowMs, need.reconfigurationMs) + marginMs;
    if (this.#mayBeEaten(need)) this.#isAlone = false;
    else if (this.#clock.elapsedMs() >= untilMs) this.#isAlone = true;
  }

  /** Whether anything is late that was not when the last one was written. */
  #isNew({ newestMs }: Need): boolean {
    return newestMs > (this.#lastMs ?? -Infinity);
  }

  get #isWritten(): boolean {
    return this.#lastMs !== undefined && this.#writtenMs !== undefined && this.#writtenMs >= this.#lastMs;
  }

  /** Whether a Mapping has changed since the last nudge, which says nothing against another one then. */
  #mayBeEaten({ mappings }: Need): boolean {
    return mappings !== undefined && this.#lastMs !== undefined && mappings.changedMs > this.#lastMs;
  }
}

export interface Need {
  /** Whether Emissary is known to take nothing at all. */
  readonly isFrozen: boolean;
  /** Whether all pods that lack something have taken something since the last nudge. */
  readonly isTaken: boolean;
  /** Since when something is late, by `elapsedMs()`. */
  readonly sinceMs: number;
  /** Since when the newest of it is. */
  readonly newestMs: number;
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
