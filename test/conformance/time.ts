import assert from "node:assert/strict";
import { systemClock } from "../../src/mesh/adapter.ts";

/** What the port promises of an abort, and we ask of everything that ends. */
export const promptMs = 1000;

const never = new AbortController().signal;

/**
 * The promise's value, unless it takes longer than a limit that only a failure reaches, or `signal` aborts.
 */
export async function within<T>(
  limitMs: number,
  promise: Promise<T>,
  what: string,
  signal: AbortSignal = never,
): Promise<T> {
  const done = new AbortController();
  const late = systemClock.sleep(limitMs, AbortSignal.any([done.signal, signal])).then(() => {
    throw new assert.AssertionError({ message: `waited ${limitMs} ms without success for ${what}` });
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    done.abort();
  }
}

/** Between two looks at something that gives no notice of itself. */
export function pause(): Promise<void> {
  return systemClock.sleep(50, never);
}
