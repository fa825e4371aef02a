/**
 * `npm run bench:attacks`: runs attaché beside each attack, and prints how late its event loop and its probes
 * are, beside the same process before the attack. Goals: p99 of the event loop ≤ 50 ms, `/livez` ≤ 250 ms.
 *
 * `-- --beside DIRECTORY` does the same with another checkout, in turns; `--only TEXT` runs the attacks whose
 * names contain the text, `--seconds N` changes how long each is measured, `--answers` prints instead how
 * much CPU one answer of a mesh takes.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { printAnswers } from "./answers.ts";
import type { AttackerData } from "./attacker.ts";
import { attacks } from "./attacks.ts";
import { type Checkout, checkoutAt, type Measured, startVictim } from "./victim.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    seconds: { type: "string", default: "6" },
    beside: { type: "string" },
    answers: { type: "boolean", default: false },
  },
});

if (values.answers) printAnswers();
else await runAll();
process.exit();

async function runAll(): Promise<void> {
  const here = checkoutAt(resolve(import.meta.dirname, "../../.."));
  const others = values.beside === undefined ? [] : [checkoutAt(resolve(values.beside))];
  row("attack", "checkout", "loop p99", "before", "loop max", "livez max", "before", "failed", "CPU", "RSS");
  for (const attack of Object.keys(attacks).filter((name) => name.includes(values.only))) {
    for (const checkout of [...others, here]) {
      try {
        print(attack, checkout === here ? "now" : "beside", await measured(attack, checkout));
      } catch (error) {
        row(attack, checkout === here ? "now" : "beside", String(error).slice(0, 300));
      }
    }
  }
}

interface Run {
  readonly before: Measured;
  readonly during: Measured;
  readonly remark: string;
}

/** Of one process: before the attack, and while it lasts. */
async function measured(attack: string, checkout: Checkout): Promise<Run> {
  const folder = await mkdtemp(join(tmpdir(), "attache-attack-"));
  const workerData: AttackerData = { attack, folder, kind: checkout.kind };
  const attacker = new Worker(new URL("./attacker.ts", import.meta.url), { workerData });
  try {
    const [settings] = (await once(attacker, "message")) as [object];
    await using victim = await startVictim(checkout, folder, settings);
    await victim.measure(3);
    const seconds = Number(values.seconds);
    const before = await victim.measure(seconds);
    let remark = "";
    attacker.on("message", (said: string) => (remark = said));
    attacker.postMessage(victim.ports);
    const during = await victim.measure(seconds);
    return { before, during, remark };
  } finally {
    await attacker.terminate();
    await rm(folder, { recursive: true, force: true });
  }
}

function print(attack: string, checkout: string, { before, during, remark }: Run): void {
  row(
    attack,
    checkout,
    ...[during.loopP99Ms, before.loopP99Ms, during.loopMaxMs, during.livezMaxMs, before.livezMaxMs].map(
      (ms) => `${ms.toFixed(0)} ms`,
    ),
    String(during.livezFailed),
    `${((during.cpuMs / during.seconds / 1000) * 100).toFixed(0)} %`,
    `${during.rssMb.toFixed(0)} MB`,
    remark,
  );
}

function row(attack: string, ...cells: readonly string[]): void {
  process.stdout.write(`${attack.padEnd(60)} ${cells.map((cell) => cell.padStart(9)).join(" ")}\n`);
}
