/**
 * What comes so soon after a window has opened goes along: Emissary makes one snapshot of a second's changes.
 * In milliseconds, as all here.
 */
const joinMs = 1_000;

/** What share of the life that is left to the published leaf may be spent on waiting. */
const shareOfLife = 0.01;

/**
 * Groups the rotations of all identities: each changed Secret costs Emissary a reconfigure of everything, and
 * many at once cost one. The first opens a window and goes at once, as does what follows within a second; the
 * rest waits for the next window. So one that comes alone never waits.
 */
export class RotationBatcher {
  readonly #windowMs: number;
  /** When the last window has opened, or will. */
  #openedMs = -Infinity;

  /** @param windowMs from the opening of a window to that of the next; 0: nothing is grouped. */
  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /**
   * When a rotation that comes at `nowMs` is due, both as `clock.elapsedMs()` counts. To be asked once for
   * each: a time that was given stands, however many have come meanwhile.
   * @param leftMs how long the leaf that is published is still good.
   */
  due(nowMs: number, leftMs: number): number {
    if (nowMs > this.#openedMs + joinMs) this.#openedMs = Math.max(nowMs, this.#openedMs + this.#windowMs);
    return Math.min(Math.max(nowMs, this.#openedMs), nowMs + Math.ceil(Math.max(leftMs, 0) * shareOfLife));
  }
}
