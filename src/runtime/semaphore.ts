/** Admits so many at once; the others wait in the order in which they came. */
export class Semaphore {
  readonly #count: number;
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#count = count;
    this.#free = count;
  }

  /**
   * Resolves once it is the caller's turn, which lasts until the result is disposed of; rejects with the
   * signal's reason.
   */
  async acquire(signal?: AbortSignal): Promise<Disposable> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(signal);
    return { [Symbol.dispose]: () => this.#release() };
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    using _turn = await this.acquire();
    return await work();
  }

  /** `work` for each item; rejects as {@link allOf} does. */
  async map<T, R>(items: Iterable<T>, work: (item: T) => Promise<R>): Promise<R[]> {
    const results: R[] = [];
    const failures: { readonly index: number; readonly error: unknown }[] = [];
    // No more wait for a turn than there are: of 10,000 that waited, each would take more than what comes of
    // it.
    const queue = Array.from(items).entries();
    const lane = async () => {
      for (const [index, item] of queue) {
        try {
          results[index] = await this.run(() => work(item));
        } catch (error) {
          failures.push({ index, error });
        }
      }
    };
    await Promise.all(Array.from({ length: this.#count }, lane));
    const [first] = failures.toSorted((one, other) => one.index - other.index);
    if (first !== undefined) throw first.error;
    return results;
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const go = () => resolve(undefined);
    const leave = () => {
      // It may just have become its turn.
      if (this.#waiting.delete(go)) reject(signal?.reason);
    };
    signal?.addEventListener("abort", leave, { once: true });
    this.#waiting.add(go);
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }

  #release(): void {
    const [next] = this.#waiting;
    if (next !== undefined) {
      // The next one takes the turn over; it is not free in between.
      this.#waiting.delete(next);
      next();
      return;
    }
    this.#free += 1;
  }
}

/** The results of all; rejects, after all have ended, with the failure of the first in order that failed. */
export async function allOf<T>(all: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(all);
  return results.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}
