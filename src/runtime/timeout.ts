import type { Clock } from "./clock.ts";

/**
 * A signal that aborts with an outer one, or when time is up. Disposing of it ends the wait and aborts
 * nothing.
 */
interface Timeout extends Disposable {
  readonly signal: AbortSignal;
  /** From now on only the outer signal counts. */
  clear(): void;
}

/** A timeout that counts from the last sign of life. */
interface IdleTimeout extends Timeout {
  /** A sign of life. */
  reset(): void;
}

/** Aborts with `outer`, or after `ms` milliseconds with the error that `late` makes. */
export function withTimeout(ms: number, late: () => Error, clock: Clock, outer?: AbortSignal): Timeout {
  return abortAfter((over) => clock.sleep(ms, over), late, outer);
}

/**
 * Aborts with `outer`, or with the error that `silent` makes after one to two periods without a sign of life;
 * one period at the beginning. Counts periods, not time: a process that was stopped gets a whole one to read
 * what waits.
 */
export function idleTimeout(
  periodMs: number,
  silent: () => Error,
  clock: Clock,
  outer?: AbortSignal,
): IdleTimeout {
  let signs = 0;

  async function silence(over: AbortSignal): Promise<void> {
    for (let seen = -1; seen !== signs;) {
      seen = signs;
      await clock.sleep(periodMs, over);
    }
  }
  return Object.assign(abortAfter(silence, silent, outer), { reset: () => void (signs += 1) });
}

/** The reason of waits that end unobserved; one for all, as an error for each request is expensive. */
const cleared = new Error("the timeout was cleared");

function abortAfter(
  wait: (over: AbortSignal) => Promise<void>,
  error: () => Error,
  outer?: AbortSignal,
): Timeout {
  const controller = new AbortController();
  const over = new AbortController();
  const abort = () => controller.abort(outer?.reason);
  if (outer?.aborted === true) abort();
  outer?.addEventListener("abort", abort, { once: true });
  wait(over.signal).then(
    () => controller.abort(error()),
    () => undefined,
  );
  return {
    signal: controller.signal,
    clear: () => over.abort(cleared),
    [Symbol.dispose]() {
      over.abort(cleared);
      outer?.removeEventListener("abort", abort);
    },
  };
}
