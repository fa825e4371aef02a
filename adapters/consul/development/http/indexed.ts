import type { Clock } from "../../../../src/mesh/adapter.ts";

/** A value with the index of its last change, as Consul's state has it: what a blocking query waits for. */
export class Indexed<T> {
  #value: T;
  #index: bigint;
  #change = Promise.withResolvers<undefined>();

  constructor(value: T, index: bigint) {
    this.#value = value;
    this.#index = index;
  }

  get value(): T {
    return this.#value;
  }

  get index(): bigint {
    return this.#index;
  }

  /** The index may also go down, as after a restored snapshot. */
  set(value: T, index: bigint): void {
    this.#value = value;
    this.#index = index;
    this.#change.resolve(undefined);
    this.#change = Promise.withResolvers();
  }

  /** Resolves when the index is above `index` or `waitMs` are over, whichever is first; at once for index 0. */
  async beyond(index: bigint, waitMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
    if (index === 0n) return;
    const over = new AbortController();
    const late = clock.sleep(waitMs, AbortSignal.any([signal, over.signal])).then(() => true);
    try {
      let isLate = false;
      while (this.#index <= index && !isLate) {
        isLate = await Promise.race([late, this.#change.promise.then(() => false)]);
      }
    } finally {
      over.abort();
      late.catch(() => undefined);
    }
  }
}
