import type { Clock } from "./clock.ts";

export interface BackoffOptions {
  /** The first delay is below this; half a second by default. In milliseconds, as all here. */
  readonly baseMs?: number;
  /** No delay is above this, unless the mesh asks for more; half a minute by default. */
  readonly capMs?: number;
}

const byDefault: BackoffOptions = {};

/** A mesh may ask for a pause, but not for so long that an operator would think attaché hangs. */
const longestRetryAfterMs = 600_000;

/**
 * How long to wait after `failures` failures in a row (1: the first): exponential with full jitter, which
 * spreads callers that failed together best
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 *
 * After an error that only a person can mend it is near the cap from the first on; never less than the mesh
 * asks for.
 * @param random in [0, 1)
 */
export function delayMs(
  failures: number,
  error: unknown,
  random: number,
  { baseMs = 500, capMs = 30_000 }: BackoffOptions = byDefault,
): number {
  const { retryable, retryAfterMs = 0 } = hintsOf(error);
  const ownMs =
    retryable === false ? (capMs * (1 + random)) / 2 : fullJitter(baseMs, capMs, failures, random);
  // On top of what the mesh asks, so that those whom it has asked at the same time do not come back together.
  return ownMs + Math.min(retryAfterMs, longestRetryAfterMs);
}

/** What a MeshError says of it, or an ApiError; from a plug-in they may be of another copy of their class. */
interface Hints {
  readonly retryable?: boolean;
  readonly retryAfterMs?: number | undefined;
}

function hintsOf(error: unknown): Hints {
  return error instanceof Error ? (error as Hints) : {};
}

function fullJitter(baseMs: number, capMs: number, failures: number, random: number): number {
  return random * Math.min(capMs, baseMs * 2 ** (failures - 1));
}

/** Counts the failures in a row of one thing that is tried again and again. */
export class Backoff {
  readonly #clock: Clock;
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(clock: Clock, options: BackoffOptions = byDefault) {
    this.#clock = clock;
    this.#options = options;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Counts a failure, and draws the delay before the next try. */
  failed(error: unknown): number {
    this.#failures += 1;
    return delayMs(this.#failures, error, this.#clock.random(), this.#options);
  }

  /**
   * As {@link Backoff.failed}, and waits for that long; rejects with the signal's reason as soon as it
   * aborts.
   */
  async pause(error: unknown, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(this.failed(error), signal);
  }

  /**
   * To be called when something came of it: a connection that was merely accepted may break at once again.
   */
  succeeded(): void {
    this.#failures = 0;
  }
}
