/** At most so many pieces of work at once; the others wait in the order in which they came. */
export class Slots {
  readonly #count: number;
  #free: number;
  readonly #waiting: (() => void)[] = [];
  readonly #drains: (() => void)[] = [];

  constructor(count: number) {
    this.#count = count;
    this.#free = count;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      // Who waits takes the slot over; it is not free in between.
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
      if (this.#free === this.#count) for (const resolve of this.#drains.splice(0)) resolve();
    }
  }

  /** Resolves once nothing is at work or waits. */
  async drained(): Promise<void> {
    if (this.#free < this.#count) await new Promise<void>((resolve) => this.#drains.push(resolve));
  }

  /** `work` for each item; rejects with the first failure after all have ended. */
  async map<T, R>(items: Iterable<T>, work: (item: T) => Promise<R>): Promise<R[]> {
    const results = await Promise.allSettled(Array.from(items, (item) => this.run(() => work(item))));
    return results.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
  }
}
