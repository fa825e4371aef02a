import type { Clock } from "./clock.ts";

/** Notices that something has gone silent. Counts by timers alone: the wall clock may step. */
export interface Listening extends Disposable {
  /** Aborts with `outer`, or with `silence` when {@link heard} was not called for one to two periods; at the beginning, for one. */
  readonly signal: AbortSignal;
  heard(): void;
}

export function listening(periodMs: number, silence: Error, clock: Clock, outer: AbortSignal): Listening {
  const controller = new AbortController();
  const over = new AbortController();
  const abort = () => controller.abort(outer.reason);
  if (outer.aborted) abort();
  outer.addEventListener("abort", abort, { once: true });
  let count = 0;

  async function listen(): Promise<void> {
    for (let last = -1; last !== count;) {
      last = count;
      await clock.sleep(periodMs, over.signal);
    }
    controller.abort(silence);
  }
  listen().catch(() => undefined);

  return {
    signal: controller.signal,
    heard() {
      count += 1;
    },
    [Symbol.dispose]() {
      over.abort();
      outer.removeEventListener("abort", abort);
    },
  };
}
