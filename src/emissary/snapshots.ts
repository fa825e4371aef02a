/** Emissary takes what changes at once, and then for so long nothing: what changes meanwhile it takes together. */
export const snapshotWindowMs = 1_000;

/** When Emissary takes a change of `changedMs`, if it took the one before at `beforeMs`. */
export function snapshotMs(beforeMs: number, changedMs: number): number {
  return changedMs <= beforeMs ? beforeMs : Math.max(changedMs, beforeMs + snapshotWindowMs);
}

/** The last change of a Mapping or TCPMapping that was seen, whether it names a context or not; by `elapsedMs()`. */
export interface MappingChange {
  readonly changedMs: number;
  /** When Emissary takes it, as far as can be known from outside. */
  readonly takenMs: number;
}
