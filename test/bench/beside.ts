import { spawn } from "node:child_process";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";

interface Options {
  readonly runs: number;
  /** Of each run. */
  readonly args: readonly string[];
}

/** The figures of one checkout, by name: of each run the numbers that stand in its row. */
type Rows = Map<string, number[][]>;

/**
 * Runs the benchmarks of another checkout and of this one in turns, and prints each figure's medians, with all
 * that was measured. The other one runs its own benchmarks, with its own flags of V8.
 */
export async function runBeside(folder: string, { runs, args }: Options): Promise<void> {
  const main = (checkout: string) => join(checkout, "dist/bench/test/bench/main.js");
  const other: Rows = new Map();
  const own: Rows = new Map();
  for (let run = 1; run <= runs; run += 1) {
    process.stderr.write(`run ${run} of ${runs}\n`);
    collect(other, await outputOf(main(resolve(folder)), args));
    collect(own, await outputOf(main(join(import.meta.dirname, "../../../..")), args));
  }
  for (const name of new Set([...other.keys(), ...own.keys()])) {
    process.stdout.write(`${name.padEnd(64)} ${shown(other.get(name))} -> ${shown(own.get(name))}\n`);
  }
}

async function outputOf(main: string, args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  return text(child.stdout);
}

/** A row is a name of 62 characters or more, numbers with `/`, `to` or `|` between them, and a target. */
const row = /^(.{62,}?)\s+((?:NaN|-?[\d.]+)(?:\s*(?:\/|to|\|)\s*(?:NaN|-?[\d.]+))*)\s{3}.*$/;

/** Rows of one part are indented: the row above them is a part of their name. */
function collect(rows: Rows, output: string): void {
  let part = "";
  for (const line of output.split("\n")) {
    const [, name = line, numbers] = row.exec(line) ?? [];
    if (!line.startsWith(" ")) part = name.trimEnd();
    if (numbers === undefined) continue;
    const full = line.startsWith(" ") ? `${part}: ${name.trim()}` : part;
    const measured = numbers.split(/\s*(?:\/|to|\|)\s*/).map(Number);
    rows.set(full, [...(rows.get(full) ?? []), measured]);
  }
}

/** `2.10 / 0.70 [2.10 2.30 1.90 / 0.70 0.60 0.80]`. */
function shown(measured: readonly number[][] | undefined): string {
  if (measured === undefined) return "-";
  const columns = (measured[0] ?? []).map((_, column) => measured.map((one) => one[column] ?? NaN));
  const all = columns.map((values) => values.map((value) => value.toFixed(2)).join(" ")).join(" / ");
  return `${columns.map((values) => median(values).toFixed(2)).join(" / ")} [${all}]`;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? NaN;
}
