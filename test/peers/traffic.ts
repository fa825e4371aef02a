import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";

/** Requests twenty times a second, whether or not the last ones were answered, until it is disposed of. */
export interface Traffic extends AsyncDisposable {
  /** @throws AssertionError if one has failed so far, or none was sent */
  assertNoneFailed(): void;
}

/** @param send those of one moment, each with a handshake of its own. */
export function startTraffic(send: () => readonly Promise<unknown>[]): Traffic {
  const over = new AbortController();
  const failures: unknown[] = [];
  const inFlight: Promise<unknown>[] = [];

  async function flow(): Promise<void> {
    while (!over.signal.aborted) {
      const sent = send().map((request) => request.catch((error: unknown) => void failures.push(error)));
      inFlight.push(...sent);
      await setTimeout(50);
    }
    await Promise.all(inFlight);
  }

  const flowing = flow();
  return {
    assertNoneFailed() {
      assert.deepEqual(failures, []);
      assert.ok(inFlight.length > 0, "requests were sent");
    },
    async [Symbol.asyncDispose]() {
      over.abort();
      await flowing;
    },
  };
}
