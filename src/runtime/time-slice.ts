/** How long computations may keep one turn of the event loop to themselves, in milliseconds. */
const sliceMs = 5;

/** When the first one began in this turn of the event loop; absent before. */
let beganAt: number | undefined;

/** Each goes on in a turn of its own: the slices of many computations would else make one long turn. */
const waiting: (() => void)[] = [];

/**
 * Cuts a long computation into slices, between which whatever else is due has its turn: probes, watches,
 * renewals. To be called wherever it can be cut; waits only if the slice of this turn is used up, by this
 * computation or others, or if others wait.
 */
export async function maybeYield(): Promise<void> {
  if (isOver()) await nextSlice();
}

/** What `steps` returns in the end. Each step is short, and between slices of them the event loop has a turn. */
export async function inSlices<T>(steps: Iterator<unknown, T>): Promise<T> {
  for (;;) {
    // Also before the first step: many computations may begin in one turn.
    if (isOver()) await nextSlice();
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** As {@link inSlices}, without a pause. */
export function atOnce<T>(steps: Iterator<unknown, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

function isOver(): boolean {
  if (beganAt === undefined) begin();
  return waiting.length > 0 || (beganAt !== undefined && performance.now() - beganAt >= sliceMs);
}

function begin(): void {
  beganAt = performance.now();
  setImmediate(() => {
    beganAt = undefined;
    const next = waiting.shift();
    if (next === undefined) return;
    begin();
    next();
  });
}

function nextSlice(): Promise<void> {
  return new Promise((resolve) => waiting.push(resolve));
}
