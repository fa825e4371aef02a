/** When Emissary looks at what has changed. */
export interface Accumulator extends Disposable {
  /** Something has changed. */
  changed(): void;
}

/**
 * Emissary 4.1.0, `Accumulator.Listen` in `pkg/kates/accumulator.go`: a change that comes `intervalMs` or more
 * after the last look is looked at at once. Any other waits for the next tick of a ticker that runs freely: for
 * anything up to `intervalMs`, and longer than that if the last look was at a tick.
 */
export function openAccumulator(intervalMs: number, look: () => void): Accumulator {
  let lookedAt = -Infinity;
  let isWaiting = false;

  function lookNow(): void {
    lookedAt = performance.now();
    isWaiting = false;
    look();
  }

  const ticker = setInterval(() => {
    if (isWaiting) lookNow();
  }, intervalMs);
  return {
    changed() {
      if (performance.now() - lookedAt >= intervalMs) lookNow();
      else isWaiting = true;
    },
    [Symbol.dispose]: () => clearInterval(ticker),
  };
}
