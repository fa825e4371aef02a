import type { Clock } from "./clock.ts";
import { timersOf } from "./timer-queue.ts";

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
  const timers = timersOf(clock);
  const controller = new AbortController();
  const pass = () => controller.abort(late());
  const unlink = follow(controller, outer);
  timers.schedule(pass, { afterMs: ms });
  return {
    signal: controller.signal,
    clear: () => timers.clear(pass),
    [Symbol.dispose]() {
      timers.clear(pass);
      unlink();
    },
  };
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
  const controller = new AbortController();
  const over = new AbortController();
  const unlink = follow(controller, outer);
  silence(over.signal).then(
    () => controller.abort(silent()),
    () => undefined,
  );
  return {
    signal: controller.signal,
    reset: () => void (signs += 1),
    clear: () => over.abort(cleared),
    [Symbol.dispose]() {
      over.abort(cleared);
      unlink();
    },
  };
}

/** The reason of waits that end unobserved; one for all, as an error for each request is expensive. */
const cleared = new Error("the timeout was cleared");

/** Has `controller` abort with `outer`, until the answer is called. */
function follow(controller: AbortController, outer: AbortSignal | undefined): () => void {
  const abort = () => controller.abort(outer?.reason);
  if (outer?.aborted === true) abort();
  outer?.addEventListener("abort", abort, { once: true });
  return () => outer?.removeEventListener("abort", abort);
}
