/** Resolves when `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
}

/**
 * The result of work that cannot be called off, unless `signal` aborts before: then it rejects at once with
 * the signal's reason, and whatever comes of the work is dropped. Nothing stays behind at either of them.
 */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const settled = () => resolve(undefined);
  const abort = () => reject(signal.reason);
  const waiters = waitersFor(work);
  waiters.add(settled);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  try {
    await promise;
  } finally {
    signal.removeEventListener("abort", abort);
    waiters.delete(settled);
  }
  return await work;
}

type Waiters = Set<() => void>;

const waitersByWork = new WeakMap<Promise<unknown>, Waiters>();

/**
 * Those that wait for `work`, called when it settles. They share one reaction: a promise keeps each of its
 * reactions until it settles, also those of `Promise.race` that was decided otherwise.
 */
function waitersFor(work: Promise<unknown>): Waiters {
  const present = waitersByWork.get(work);
  if (present !== undefined) return present;
  const waiters: Waiters = new Set();
  waitersByWork.set(work, waiters);
  const wake = () => {
    waitersByWork.delete(work);
    for (const waiter of waiters) waiter();
  };
  work.then(wake, wake);
  return waiters;
}
