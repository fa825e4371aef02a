import { MeshError } from "../errors.ts";

/**
 * The result of `work`, which is tried again after each failure that `recover` outlives: it waits, reports,
 * or throws what ends all.
 */
export async function retrying<T>(
  work: () => Promise<T>,
  recover: (error: unknown) => Promise<void>,
): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      await recover(error);
    }
  }
}

/**
 * What `start` gives, one stream after the other: the next one begins after each failure that `recover`
 * outlives, as in {@link retrying}. Ends only by throwing.
 */
export async function* restarting<T>(
  start: () => Promise<AsyncIterable<T>>,
  recover: (error: unknown) => Promise<void>,
): AsyncGenerator<T, never, undefined> {
  for (;;) {
    try {
      yield* await start();
      throw new TypeError("a stream ended without an error");
    } catch (error) {
      await recover(error);
    }
  }
}

/** Hands on each of `values`. Ends only by throwing what they throw. */
export async function forEach<T>(values: AsyncIterable<T>, take: (value: T) => unknown): Promise<never> {
  for await (const value of values) await take(value);
  throw new TypeError("a stream ended without an error");
}

/**
 * What the first of `items` gives of which `work` does not throw a MeshError; else rejects with the last
 * one's.
 */
export async function firstThatWorks<I, T>(items: readonly I[], work: (item: I) => Promise<T>): Promise<T> {
  let reason: unknown = new TypeError("there is nothing to try");
  for (const item of items) {
    try {
      return await work(item);
    } catch (error) {
      if (!MeshError.is(error)) throw error;
      reason = error;
    }
  }
  throw reason;
}

/** What `ask` gives, each time that `pause` is over. Ends only by throwing what they throw. */
export async function* polling<T>(
  ask: () => Promise<T>,
  pause: () => Promise<void>,
): AsyncGenerator<T, never, undefined> {
  for (;;) {
    yield await ask();
    await pause();
  }
}
