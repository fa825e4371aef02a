import { setImmediate } from "node:timers/promises";

/** How long a computation may keep the event loop to itself, in milliseconds. */
const sliceMs = 5;

/**
 * Cuts a long computation into slices, between which whatever else is due has its turn: probes, watches,
 * renewals.
 */
export class TimeSlice {
  #endsAt = performance.now() + sliceMs;

  /** To be called wherever it can be cut; waits only if the slice is used up. */
  async maybeYield(): Promise<void> {
    if (performance.now() < this.#endsAt) return;
    await setImmediate();
    this.#endsAt = performance.now() + sliceMs;
  }
}
