import { FairQueue } from "./fair-queue.ts";

/** Admits so many at once; the others wait for their turn, see {@link FairQueue}. */
export class Semaphore {
  readonly #count: number;
  #free: number;
  readonly #waiting = new FairQueue<Waiter>(({ group }) => group);
  /** A turn: to be disposed of once. */
  readonly #granted: Disposable = {
    [Symbol.dispose]: () => {
      this.#free += 1;
      this.#next();
    },
  };

  constructor(count: number) {
    this.#count = count;
    this.#free = count;
  }

  /**
   * Resolves once it is the caller's turn, which lasts until the result is disposed of; rejects with the
   * signal's reason.
   * @param group takes turns with other groups.
   */
  async acquire(signal?: AbortSignal, group = ""): Promise<Disposable> {
    signal?.throwIfAborted();
    // Where all are one group, no one waits while there is room.
    if (group === "" && this.#free > 0) this.#free -= 1;
    else await this.#turn(signal, group);
    return this.#granted;
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

  async #turn(signal: AbortSignal | undefined, group: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const waiter = { group, go: () => resolve(undefined) };
    const leave = () => {
      // It may just have become its turn.
      if (this.#waiting.delete(waiter)) reject(signal?.reason);
    };
    signal?.addEventListener("abort", leave, { once: true });
    this.#waiting.add(waiter);
    this.#next();
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }

  #next(): void {
    if (this.#free === 0) return;
    const next = this.#waiting.take();
    if (next === undefined) return;
    this.#free -= 1;
    next.go();
  }
}

interface Waiter {
  readonly group: string;
  readonly go: () => void;
}

/** The results of all; rejects, after all have ended, with the failure of the first in order that failed. */
export async function allOf<T>(all: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(all);
  return results.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}
