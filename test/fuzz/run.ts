import { AttacheError } from "../../src/errors/attache-error.ts";
import { type Draw, mutate } from "./mutate.ts";

/** One parser of bytes from outside, and how to try it. */
export interface Target {
  /** Valid inputs, to begin with. */
  readonly samples: readonly Uint8Array[];
  /** What means something to the parser. */
  readonly words?: readonly string[];
  readonly mutate?: (sample: Buffer, draw: Draw) => Buffer;
  /**
   * Returns, or throws an {@link AttacheError}, which has a code and a remedy. Anything else is a fault,
   * whatever the input is.
   */
  readonly run: (input: Buffer, draw: Draw) => unknown;
}

/** What one input may cost, in milliseconds of CPU of its thread: V8 compiles and collects in others. */
const maxMs = 50;

export interface Fault {
  readonly input: Buffer;
  readonly problem: string;
}

/**
 * Tries `target` with an input. The time counts if it is exceeded three times in a row: the collector may run
 * in one.
 */
export async function faultOf(target: Target, input: Buffer, draw: Draw): Promise<Fault | undefined> {
  let leastMs = Infinity;
  for (let attempt = 0; attempt < 3 && leastMs > maxMs; attempt += 1) {
    const before = process.threadCpuUsage();
    try {
      await target.run(input, draw);
    } catch (error) {
      if (!(error instanceof AttacheError)) return { input, problem: undeclared(error) };
    }
    const { user, system } = process.threadCpuUsage(before);
    leastMs = Math.min(leastMs, (user + system) / 1000);
  }
  return leastMs > maxMs ? { input, problem: `takes ${leastMs.toFixed(0)} ms of CPU` } : undefined;
}

/** An input made from one of the samples. */
export function inputFor({ samples, words = [], mutate: own }: Target, draw: Draw): Buffer {
  const sample = Buffer.from(samples[draw(samples.length)] ?? []);
  return own?.(sample, draw) ?? mutate(sample, words, draw);
}

function undeclared(error: unknown): string {
  const said = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `throws what it does not declare: ${said.slice(0, 1_500)}`;
}
