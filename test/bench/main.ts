/**
 * `npm run bench`: builds, and prints the figures of docs/benchmarks.md beside their targets. `-- --quick` runs a tenth,
 * `-- --smoke` shows only that each scenario runs, but for those beside other tools.
 * `-- --process` runs only what needs neither an API server nor meshes, `-- --kubernetes` and `-- --meshes` only what does, and
 * `-- --peers` only what compares with other tools.
 * `-- --beside DIRECTORY --runs 5` runs in turn with another checkout in which `npm ci` and `tsc -p test/bench` were
 * run, and prints medians.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { parseArgs, promisify } from "node:util";
import { runBeside } from "./beside.ts";
import { imageEnvironment, imageFlags, isSmoke } from "./environment.ts";
import { type Figure, kubernetesFigures } from "./kubernetes/figures.ts";

const run = promisify(execFile);
const here = import.meta.dirname;
const scale = isSmoke ? 0.01 : process.argv.includes("--quick") ? 0.1 : 1;
const [few, many] = [1_000 * scale, 10_000 * scale];
const root = await mkdtemp(join(tmpdir(), "attache-bench-"));

const parts = ["--process", "--kubernetes", "--meshes", "--peers"];
const only = parts.find((flag) => process.argv.includes(flag));
/** The programs of the peers take too long to build for a smoke test. */
const isWanted = (part: string) => only === part || (only === undefined && !(isSmoke && part === "--peers"));
/** What cannot be measured is left out of a whole run. */
const mayLeaveOut = only === undefined && !isSmoke;
if (isSmoke) process.env["ATTACHE_BENCH_SMOKE"] = "1";
const { values } = parseArgs({
  options: { beside: { type: "string" }, runs: { type: "string", default: "5" } },
  strict: false,
});

try {
  if (typeof values.beside === "string") {
    const args = process.argv.filter((arg) => arg === "--quick" || parts.includes(arg));
    await runBeside(values.beside, { runs: Number(values.runs), args });
  } else {
    if (isWanted("--process")) print(await figures());
    if (isWanted("--kubernetes")) await onCluster();
    if (isWanted("--meshes")) await fromSource("meshes", "scale", "sds", "workload", "roots");
    if (isWanted("--peers")) {
      await fromSource("meshes", "helper", "template");
      await fromSource("peers");
    }
  }
} finally {
  await rm(root, { recursive: true });
}

async function onCluster(): Promise<void> {
  await node("prepare.js", folderOf(few), String(few));
  try {
    print(await kubernetesFigures(folderOf(few), few));
  } catch (error) {
    process.stderr.write(`Nothing was measured on an API server: ${String(error)}\n`);
    if (!mayLeaveOut) process.exitCode = 1;
  }
}

/** Runs the `main.ts` of a folder from its source, as the recipes and the guard of the peers are not compiled. */
async function fromSource(folder: string, ...wanted: readonly string[]): Promise<void> {
  const source = join(here, "../../../../test/bench", folder, "main.ts");
  const args = ["--conditions=development", source, String(scale), ...wanted];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  try {
    print((await json(child.stdout)) as Figure[]);
  } catch {
    const [status] = (await closed) as [number | null];
    process.stderr.write(`Nothing was measured: ${source} ended with status ${status}.\n`);
    if (!mayLeaveOut) process.exitCode = 1;
  }
}

async function figures(): Promise<readonly Figure[]> {
  for (const count of [50, few, many]) await node("prepare.js", folderOf(count), String(count));
  const small = await scenario("publish", few);
  const large = await scenario("publish", many);
  const restarted = await scenario("restart", few);
  const rotated = await scenario("latency", 50);
  const applied = JSON.parse(await node("mappings.js", String(many))) as Measured;
  const started = await startTimes();
  return [
    [
      "mesh emits → published, over the same write done bare, p50",
      ratio(rotated, rotated, "oursMs", "bareMs"),
      "≤ 5",
    ],
    ["  in ms", `${fixed(rotated["oursMs"])} / ${fixed(rotated["bareMs"])}`, ""],
    ["event loop delay p99 meanwhile, ms", fixed(rotated["loopP99Ms"]), "≤ 20"],
    [`event loop delay p99 while ${few} are published, ms`, fixed(small["loopP99Ms"]), "≤ 20"],
    [`${few} identities: RSS, MB`, fixed(small["rssMb"]), "≤ 120"],
    [`${many} identities: RSS, MB`, fixed(large["rssMb"]), "≤ 250"],
    [`${many} / ${few} identities: time`, ratio(large, small, "seconds"), "≤ 12"],
    ["  in s", `${fixed(large["seconds"])} / ${fixed(small["seconds"])}`, ""],
    ["  CPU", ratio(large, small, "cpuSeconds"), "≤ 12"],
    ["  CPU in s", `${fixed(large["cpuSeconds"])} / ${fixed(small["cpuSeconds"])}`, ""],
    [`event loop delay p99 while ${many} Mappings come unchanged, ms`, fixed(applied["loopP99Ms"]), "≤ 20"],
    ["  while nothing comes", fixed(applied["idleP99Ms"]), ""],
    ["  CPU time of the longest turn, ms", fixed(applied["turnCpuMs"]), ""],
    [`restart with ${few}: new leaves / writes`, `${restarted["issued"]} / ${restarted["writes"]}`, "0 / 0"],
    ["attache version / node -e 0", fixed(started), "≤ 3"],
  ];
}

function print(figures: readonly Figure[]): void {
  for (const [figure, measured, target] of figures) {
    process.stdout.write(`${figure.padEnd(62)} ${measured.padStart(14)}   ${target}\n`);
  }
}

type Measured = Readonly<Record<string, number>>;

async function scenario(name: string, count: number): Promise<Measured> {
  return JSON.parse(await node("scenario.js", name, folderOf(count), String(count))) as Measured;
}

async function node(script: string, ...args: readonly string[]): Promise<string> {
  const env = { ...process.env, ...imageEnvironment };
  const { stdout } = await run(process.execPath, [...imageFlags, join(here, script), ...args], { env });
  return stdout;
}

/** Medians of runs that take turns. */
async function startTimes(): Promise<number> {
  const main = join(here, "../../src/main.js");
  const ours: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < 15; round += 1) {
    ours.push(await timed([main, "version"]));
    bare.push(await timed(["-e", "0"]));
  }
  const middle = (values: readonly number[]) => values.toSorted((one, other) => one - other)[7] ?? NaN;
  return middle(ours) / middle(bare);
}

async function timed(args: readonly string[]): Promise<number> {
  const startedAt = performance.now();
  await run(process.execPath, args);
  return performance.now() - startedAt;
}

function folderOf(count: number): string {
  return join(root, String(count));
}

function ratio(over: Measured, under: Measured, name: string, nameUnder = name): string {
  return fixed((over[name] ?? NaN) / (under[nameUnder] ?? NaN));
}

function fixed(value: number | undefined): string {
  return (value ?? NaN).toFixed(2);
}
