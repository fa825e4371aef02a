/**
 * The newest value of something that changes, for any number of consumers, each at its own pace.
 *
 * A consumer that is slow misses values and sees the newest when it comes back; nothing queues up.
 */
export class LatestValue<T> {
  #current: { readonly value: T } | undefined;
  readonly #subscriptions = new Set<Subscription<T>>();

  /** What was published last. */
  get value(): T | undefined {
    return this.#current?.value;
  }

  /** Whether there is a subscription now. */
  get isWatched(): boolean {
    return this.#subscriptions.size > 0;
  }

  publish(value: T): void {
    this.#current = { value };
    for (const subscription of this.#subscriptions) subscription.offer(value);
  }

  /**
   * Ends all present subscriptions with `error`, after a value not yet read; later ones are not concerned.
   */
  fail(error: unknown): void {
    for (const subscription of this.#subscriptions) subscription.fail(error);
  }

  /**
   * Yields the present value, if there is one, then each newer one. Ends only by throwing: the signal's
   * reason on abort, at once and also while a value waits; else what `fail` was given.
   */
  subscribe(signal: AbortSignal): AsyncIterable<T> {
    return {
      [Symbol.asyncIterator]: () => {
        const subscription = new Subscription<T>(signal, this.#subscriptions);
        this.#subscriptions.add(subscription);
        if (this.#current !== undefined) subscription.offer(this.#current.value);
        return subscription;
      },
    };
  }
}

class Subscription<T> implements AsyncIterator<T, undefined> {
  readonly #signal: AbortSignal;
  /** To be left at the end. */
  readonly #all: Set<Subscription<T>>;
  /** The one value that has not been read yet. */
  #unread: { readonly value: T } | undefined;
  #failure: { readonly error: unknown } | undefined;
  #closed = false;
  /** Who waits for a change. */
  #waiting: (() => void)[] = [];

  constructor(signal: AbortSignal, all: Set<Subscription<T>>) {
    this.#signal = signal;
    this.#all = all;
    signal.addEventListener("abort", this);
  }

  /** The signal has aborted. */
  handleEvent(): void {
    this.#wake();
  }

  offer(value: T): void {
    this.#unread = { value };
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      if (this.#closed) return { done: true, value: undefined };
      if (this.#signal.aborted) throw this.#close(this.#signal.reason);
      if (this.#unread !== undefined) {
        const { value } = this.#unread;
        this.#unread = undefined;
        return { done: false, value };
      }
      if (this.#failure !== undefined) throw this.#close(this.#failure.error);
      await new Promise<void>((resolve) => (this.#waiting = [...this.#waiting, resolve]));
    }
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#close();
    return Promise.resolve({ done: true, value: undefined });
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting = [];
  }

  /** Hands `reason` through, so that it can be thrown in the same breath. */
  #close(reason?: unknown): unknown {
    this.#closed = true;
    this.#signal.removeEventListener("abort", this);
    this.#all.delete(this);
    this.#wake();
    return reason;
  }
}
