import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { imageEnvironment, imageFlags } from "../environment.ts";
import { startCluster } from "./cluster.ts";

const run = promisify(execFile);

export type Figure = readonly [figure: string, measured: string, target: string];

/** @param folder with the credentials of `count` identities; see prepare.ts */
export async function kubernetesFigures(folder: string, count: number): Promise<Figure[]> {
  await using _cluster = await startCluster(folder);
  await scenario("prepare", count);
  await scenario("warm", count);
  // They take turns, as the machine is not always as fast.
  const before = await bare("before");
  const ours = await scenario("publish", count);
  const after = await bare("after");
  const alone = await restarts();
  await scenario("crowd", 2 * count);
  const crowded = await restarts();
  const rssMb = { alone: median(alone, "rssMb"), crowded: median(crowded, "rssMb") };
  const all = [...alone, ...crowded];

  return [
    [`${count} identities published: rate over that of`, "", ""],
    ["  their 3 objects sent bare", fixed(sum("objectsSeconds") / get(ours, "objectsSeconds")), "≥ 0.8"],
    ["  all requests sent bare", fixed(sum("requestsSeconds") / get(ours, "requestsSeconds")), ""],
    [
      "  in s: ours, objects bare",
      `${fixed(get(ours, "objectsSeconds"))} / ${fixed(sum("objectsSeconds"))}`,
      "",
    ],
    [
      "  in s: ours, all bare",
      `${fixed(get(ours, "requestsSeconds"))} / ${fixed(sum("requestsSeconds"))}`,
      "",
    ],
    ["  CPU of attaché over that for all bare", fixed(get(ours, "cpuSeconds") / sum("cpuSeconds")), "≤ 2"],
    [
      "  CPU of one in ms: ours, all bare",
      `${fixed((1_000 * get(ours, "cpuSeconds")) / count)} / ${fixed((1_000 * sum("cpuSeconds")) / count)}`,
      "",
    ],
    ["  writes of one", fixed(get(ours, "writes") / count), "5"],
    ["mesh emits → PATCH answered, p50 ms", fixed(get(ours, "emitP50Ms")), "≤ 15"],
    ["  p99", fixed(get(ours, "emitP99Ms")), "≤ 100"],
    ["  PATCH bare, p50 / p99", `${fixed(get(ours, "bareP50Ms"))} / ${fixed(get(ours, "bareP99Ms"))}`, ""],
    ["edited by another client → seen repaired, p50 ms", fixed(get(ours, "driftP50Ms")), ""],
    ["  p99", fixed(get(ours, "driftP99Ms")), "≤ 250"],
    [`restart with ${count}: verified, s`, range(alone, "seconds"), "≤ 2"],
    ["  new leaves / writes", `${total("issued")} / ${total("writes")}`, "0 / 0"],
    ["  of that CPU time of attaché", range(alone, "cpuSeconds"), ""],
    ["  what it read once more, bare", range(alone, "bareSeconds"), ""],
    [
      `${count} identities: RSS once published / restarted, MB`,
      `${fixed(get(ours, "rssMb"))} / ${fixed(rssMb.alone)}`,
      "≤ 130",
    ],
    [`  beside ${2 * count} foreign Secrets of 100 KB`, fixed(rssMb.crowded), "≤ 130"],
    ["  difference", fixed(rssMb.crowded - rssMb.alone), "≤ 5"],
  ];

  async function restarts(): Promise<Measured[]> {
    const measured: Measured[] = [];
    for (let round = 0; round < 3; round += 1) measured.push(await scenario("restart", count));
    return measured;
  }

  function scenario(name: string, of: number): Promise<Measured> {
    return node("scenario.js", name, folder, String(of));
  }

  function bare(label: string): Promise<Measured> {
    return node("bare.js", folder, String(count / 2), label);
  }

  function sum(name: string): number {
    return get(before, name) + get(after, name);
  }

  function total(name: string): number {
    return all.reduce((total, one) => total + get(one, name), 0);
  }
}

type Measured = Readonly<Record<string, number>>;

async function node(script: string, ...args: readonly string[]): Promise<Measured> {
  const env = { ...process.env, ...imageEnvironment };
  const { stdout } = await run(
    process.execPath,
    [...imageFlags, join(import.meta.dirname, script), ...args],
    { env },
  );
  return JSON.parse(stdout) as Measured;
}

function get(measured: Measured, name: string): number {
  return measured[name] ?? NaN;
}

function median(all: readonly Measured[], name: string): number {
  const values = all.map((one) => get(one, name)).toSorted((one, other) => one - other);
  return values[Math.floor(values.length / 2)] ?? NaN;
}

function range(all: readonly Measured[], name: string): string {
  const values = all.map((one) => get(one, name));
  return `${fixed(Math.min(...values))} to ${fixed(Math.max(...values))}`;
}

function fixed(value: number): string {
  return value.toFixed(2);
}
