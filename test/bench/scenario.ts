/** `scenario.ts NAME FOLDER COUNT`: measures one thing in a process of its own, and prints it as JSON. */
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { bareWrite } from "./bare-write.ts";
import { restOf } from "./environment.ts";
import { emit, issuedSoFar, load } from "./prepared-mesh.ts";
import { startProcess } from "./process.ts";
import { readFile } from "node:fs/promises";

const [name = "", folder = "", countText = "0"] = process.argv.slice(2);
const count = Number(countText);
/** As the directory store does by default: a rescan makes garbage for all identities. */
const rescanMs = 60_000;
const scenarios: Readonly<Record<string, () => Promise<object>>> = { publish, restart, latency };

process.stdout.write(JSON.stringify(await scenarios[name]?.()));

/**
 * From the start until everything is published; the most memory from when V8 has given back what it does not
 * need until after a rescan of all.
 */
async function publish(): Promise<object> {
  const startedAt = performance.now();
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  await using attache = await startProcess(folder);
  await until(() => attache.writes === 3 * count);
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage();
  delay.disable();
  await attache.quiet(2_000);
  await setTimeout(restOf(15_000));
  return {
    seconds,
    cpuSeconds: (user + system) / 1e6,
    rssMb: await mostRssMb(restOf(rescanMs + 10_000)),
    loopP99Ms: delay.percentile(99) / 1e6,
  };
}

/** Over what is published already. */
async function restart(): Promise<object> {
  await using attache = await startProcess(folder);
  await until(() => attache.applies >= count);
  await attache.quiet(1_000);
  return { issued: issuedSoFar(), writes: attache.writes };
}

/** One rotation after the other, each beside the same write done bare. */
async function latency(): Promise<object> {
  await using attache = await startProcess(folder);
  await until(() => attache.applies >= count);
  const roots = await readFile(join(folder, "roots.pem"));
  const secret = await readFile(join(folder, "published", "bench", "Secret-svc-0-mesh-cert.yaml"), "utf8");
  const delay = monitorEventLoopDelay({ resolution: 5 });
  const ours: number[] = [];
  const bare: number[] = [];
  await attache.quiet(1_000);
  delay.enable();
  for (let round = 0; round < 200; round += 1) {
    const service = `svc-${round % count}`;
    const version = Math.floor(round / count) % 2 === 0 ? "b" : "a";
    const credential = await load(join(folder, `${service}.${version}.pem`), roots);
    const published = Promise.withResolvers<undefined>();
    attache.onPublished = () => published.resolve(undefined);
    const emittedAt = performance.now();
    emit(service, credential);
    await published.promise;
    ours.push(performance.now() - emittedAt);
    const bareAt = performance.now();
    await bareWrite(join(folder, "bare"), secret);
    bare.push(performance.now() - bareAt);
  }
  delay.disable();
  return { oursMs: median(ours), bareMs: median(bare), loopP99Ms: delay.percentile(99) / 1e6 };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(5);
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? NaN;
}

async function mostRssMb(ms: number): Promise<number> {
  const until = performance.now() + ms;
  let most = 0;
  while (performance.now() < until) {
    most = Math.max(most, process.memoryUsage.rss() / 1e6);
    await setTimeout(500);
  }
  return most;
}
