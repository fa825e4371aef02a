import { randomInt } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { seeded } from "../fixtures/der-mutants.ts";
import { faultOf, inputFor, type Target } from "./run.ts";
import { spliced, targets } from "./targets.ts";

/** How much the heap and what it holds outside may be larger after a target's inputs than before. */
const maxGrowthBytes = 16 * 1024 * 1024;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    target: { type: "string" },
    seed: { type: "string", default: String(randomInt(2 ** 31)) },
  },
});
const chosen = Object.entries(targets).filter(
  ([name]) => values.target === undefined || name === values.target,
);
if (chosen.length === 0) {
  process.stderr.write(
    `There is no target "${values.target ?? ""}"; there are ${Object.keys(targets).join(", ")}.\n`,
  );
  process.exit(2);
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

print(`seed ${values.seed}: repeat with --seed ${values.seed}`);
const budgetMs = (Number(values.seconds) * 1000) / chosen.length;
let faults = 0;
for (const [name, target] of chosen) faults += await fuzz(name, target, budgetMs);
process.exitCode = faults === 0 ? 0 : 1;

/** Returns how many different faults were seen. */
async function fuzz(name: string, target: Target, ms: number): Promise<number> {
  const draw = seeded(Number(values.seed));
  const known = new Map<string, string>();
  for (const sample of target.samples) await attempt(Buffer.from(sample));
  const before = await heap();
  const end = performance.now() + ms;
  let inputs = 0;
  for (; performance.now() < end; inputs += 1) {
    await attempt(draw(8) === 0 ? spliced(target, draw) : inputFor(target, draw));
    // Peers answer between turns of the loop, too; what waits for a turn would else pile up here.
    if (inputs % 64 === 0) await new Promise((resolve) => void setImmediate(resolve));
  }
  const growth = (await heap()) - before;
  if (growth > maxGrowthBytes) known.set("growth", `the memory has grown by ${Math.round(growth / 1e6)} MB`);
  print(`${name}: ${inputs} inputs, ${known.size === 0 ? "no fault" : `${known.size} faults`}`);
  for (const problem of known.values()) print(`  ${problem}`);
  return known.size;

  async function attempt(input: Buffer): Promise<void> {
    const fault = await faultOf(target, input, draw);
    const kind = fault?.problem.replace(/\d+/g, "").slice(0, 200);
    if (fault === undefined || kind === undefined || known.has(kind)) return;
    const folder = join(tmpdir(), "attache-fuzz");
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `${name}-${known.size}-${values.seed}`);
    writeFileSync(file, input);
    known.set(kind, `${fault.problem}\n  the input is in ${file}`);
  }
}

/** What OpenSSL holds for garbage is released in the turn after a collection. */
async function heap(): Promise<number> {
  collect();
  await new Promise((resolve) => void setImmediate(resolve));
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
