import type { Clock } from "./clock.ts";

/** Aborts with `outer`, or with the error of `late` when the time is up; ends its waiting when it is disposed of. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  /** The time no longer matters, only `outer` does. */
  lift(): void;
}

/** The reason of an end that nobody is told of: made once, as an error that is made for each request costs more than the rest of this. */
const ended = new Error("it no longer matters");

export function deadline(ms: number, late: () => Error, clock: Clock, outer?: AbortSignal): Deadline {
  const controller = new AbortController();
  const over = new AbortController();
  const abort = () => controller.abort(outer?.reason);
  if (outer?.aborted === true) abort();
  outer?.addEventListener("abort", abort, { once: true });
  clock.sleep(ms, over.signal).then(
    () => controller.abort(late()),
    () => undefined,
  );
  return {
    signal: controller.signal,
    lift: () => over.abort(ended),
    [Symbol.dispose]() {
      over.abort(ended);
      outer?.removeEventListener("abort", abort);
    },
  };
}
