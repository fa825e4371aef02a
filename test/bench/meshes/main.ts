/**
 * Run from its source: `main.ts SCALE [PART…]` measures attaché, as it was built, with real protocols and in
 * processes of its own, and prints the figures as JSON.
 */
import { mkdtemp, mkdir, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startDevelopmentServer } from "../../../adapters/consul/development/server.ts";
import { startDevelopmentAgent as startIstioAgent } from "../../../adapters/istio/development/index.ts";
import { startDevelopmentAgent as startSpireAgent } from "../../fixtures/spire-agent/agent.ts";
import { systemClock as clock } from "../../../src/runtime/clock.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { startConsul } from "../../peers/consul/agent.ts";
import { rotateRoot } from "../../peers/consul/root.ts";
import { restOf } from "../environment.ts";
import type { Figure } from "../kubernetes/figures.ts";
import { published, type Running, setOf, startAttache } from "./attache.ts";
import { lookOn, type Onlooker } from "./onlooker.ts";
import type { Seen } from "./reader.ts";
import { startConsulTemplate, startSpiffeHelper, type Tool } from "./tools.ts";
import { connectionsTo, usageOf } from "./usage.ts";

const scale = Number(process.argv[2] ?? 1);
const [pushes, rootChanges, many] = [100 * scale, 20 * scale, 1_000 * scale];

/** A peer's push that comes sooner after the last waits for attaché's pause between two answers. */
const spacingMs = 500;

/** Consul's `csr_max_per_second`. */
const csrLimit = 50;

const parts = {
  scale: consulAtScale,
  sds,
  workload,
  roots: watchRoots,
  helper: besideHelper,
  template: besideTemplate,
};

const root = await mkdtemp(join(tmpdir(), "attache-bench-"));
try {
  const wanted = process.argv.slice(3);
  const figures: Figure[] = [];
  for (const [name, part] of Object.entries(parts)) {
    if (wanted.length === 0 || wanted.includes(name)) figures.push(...(await part()));
  }
  process.stdout.write(JSON.stringify(figures));
} finally {
  await rm(root, { recursive: true, force: true });
}

async function consulAtScale(): Promise<Figure[]> {
  const folder = await folderOf("scale");
  await using consul = await startConsul({ folder });
  const names = Array.from({ length: many }, (_, index) => `svc-${index}`);
  const identities = Object.fromEntries(names.map((service) => [service, { service }]));
  const mesh = { adapter: "consul", addresses: [`http://127.0.0.1:${consul.grpcPort}`] };
  await using attache = await startAttache({ folder, mesh, kind: "consul", identities, pem: false });
  let [firstAt, first, peakMb] = [0, 0, 0];
  for (;;) {
    const objects = await readdir(join(published(folder), "bench")).catch(() => []);
    const leaves = objects.filter((name) => name.endsWith("-mesh-cert.yaml")).length;
    peakMb = Math.max(peakMb, (await usageOf(attache.pid)).rssMb);
    if (first === 0 && leaves > 0) [firstAt, first] = [now(), leaves];
    if (leaves === many) {
      const perSecond = ((leaves - first) * 1_000) / (now() - firstAt);
      const connections = await connectionsTo(consul.grpcPort, attache.pid);
      await sleep(restOf(20_000 * scale));
      const before = await usageOf(attache.pid);
      // From one rescan of everything to the next.
      const idleMs = restOf(60_000);
      await sleep(idleMs);
      const after = await usageOf(attache.pid);
      return [
        [
          `real Consul: ${many} identities first issued, over its limit of CSRs`,
          fixed(perSecond / csrLimit),
          "≥ 0.9",
        ],
        ["  TCP connections", String(connections), "1"],
        ["  RSS meanwhile at most / when idle, MB", `${fixed(peakMb)} / ${fixed(after.rssMb)}`, "≤ 130"],
        ["  CPU when idle, % of a core", fixed((100 * (after.cpuMs - before.cpuMs)) / idleMs), "≤ 1"],
      ];
    }
    await sleep(50);
  }
}

async function sds(): Promise<Figure[]> {
  const folder = await folderOf("sds");
  let pushedAt = 0;
  await using agent = await startIstioAgent({
    authority: await createAuthority({ trustDomain: "cluster.local", clock }),
    clock,
    directory: folder,
    namespace: "bench",
    serviceAccount: "edge",
    tamper: (answer) => {
      pushedAt = now();
      return answer;
    },
  });
  const mesh = { adapter: "istio", ...agent.settings };
  await using _attache = await startAttache({
    folder,
    mesh,
    kind: "istio",
    identities: { edge: agent.identity },
  });
  await using onlooker = lookOn([setOf(folder, "edge")]);
  const [ours] = await measured(onlooker, ["attaché"], pushes, {
    push: () => agent.renew(),
    pushedAt: () => pushedAt,
    isNew: otherSerial,
  });
  return [["sds: peer's push → complete set of files, p10 / p50 / p99 ms", percentiles(ours), "≤ 15"]];
}

async function watchRoots(): Promise<Figure[]> {
  const folder = await folderOf("roots");
  const authority = await createAuthority({ trustDomain: "11.consul", clock });
  let pushedAt = 0;
  authority.subscribe(() => (pushedAt = now()));
  await using server = await startDevelopmentServer({ authority });
  const mesh = { adapter: "consul", ...server.settings };
  const identities = { edge: { service: "edge" } };
  await using _attache = await startAttache({ folder, mesh, kind: "consul", identities });
  await using onlooker = lookOn([setOf(folder, "edge")]);
  const [ours] = await measured(onlooker, ["attaché"], Math.ceil(pushes / 2), {
    push: () => authority.rotateRoot(),
    pushedAt: () => pushedAt,
    isNew: moreRoots,
  });
  return [["WatchRoots: the same", percentiles(ours), "≤ 15"]];
}

async function workload(): Promise<Figure[]> {
  const folder = await folderOf("workload");
  await using agent = await spireAgent(folder);
  const { mesh, identities } = agent;
  await using _attache = await startAttache({ folder, mesh, kind: "spiffe", identities });
  await using onlooker = lookOn([setOf(folder, "edge")]);
  const [ours] = await measured(onlooker, ["attaché"], pushes, agent);
  return [["workload: the same", percentiles(ours), "≤ 15"]];
}

async function besideHelper(): Promise<Figure[]> {
  const folder = await folderOf("helper");
  await using agent = await spireAgent(folder);
  const { mesh, identities } = agent;
  await using attache = await startAttache({ folder, mesh, kind: "spiffe", identities });
  const tool = await startSpiffeHelper(folder, join(folder, "api.sock"));
  return await sideBySide(attache, tool, folder, { ...agent, count: pushes });
}

/** A Workload API server that gives a new SVID on demand. */
async function spireAgent(folder: string) {
  let pushedAt = 0;
  const agent = await startSpireAgent({
    authority: await createAuthority({ trustDomain: "example.org", clock }),
    clock,
    directory: folder,
    entries: [{ id: "spiffe://example.org/edge" }],
    tamper: (answer) => {
      pushedAt = now();
      return answer;
    },
  });
  return {
    mesh: { adapter: "spiffe", ...agent.settings },
    identities: { edge: agent.identity },
    push: () => agent.renew(),
    pushedAt: () => pushedAt,
    isNew: otherSerial,
    [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose](),
  };
}

async function besideTemplate(): Promise<Figure[]> {
  const folder = await folderOf("consul");
  await using consul = await startConsul({ folder });
  const mesh = { adapter: "consul", addresses: [`http://127.0.0.1:${consul.grpcPort}`] };
  const identities = { edge: { service: "edge" } };
  await using attache = await startAttache({ folder, mesh, kind: "consul", identities });
  const tool = await startConsulTemplate(folder, consul.address, "edge");
  let pushedAt = 0;
  return await sideBySide(attache, tool, folder, {
    push: async () => {
      pushedAt = now();
      await rotateRoot(consul, "72h");
    },
    pushedAt: () => pushedAt,
    isNew: moreRoots,
    count: rootChanges,
    // Each lets up to half a minute pass before it asks for a leaf of the new root, so that not all ask at
    // once.
    restMs: 40_000 * scale,
  });
}

interface SideBySide extends Change {
  /** Of the changes. */
  readonly count: number;
  /** How long both are watched after the last one. */
  readonly restMs?: number;
}

/** attaché and another tool in one run, on one server. */
async function sideBySide(
  attache: Running,
  { running, set }: Tool,
  folder: string,
  { count, restMs = 0, ...change }: SideBySide,
): Promise<Figure[]> {
  await using tool = running;
  const names = ["attaché", set.name];
  await using onlooker = lookOn([setOf(folder, "edge"), set]);
  await Promise.all(names.map((name) => onlooker.until(name, 0, () => true)));
  const usages = () => Promise.all([attache, tool].map(({ pid }) => usageOf(pid)));
  const before = await usages();
  const took = await measured(onlooker, names, count, change);
  await sleep(restMs);
  const after = await usages();
  const both = (of: (index: number) => string) => `${of(0)}  |  ${of(1)}`;
  const seen = (index: number) => onlooker.of(names[index] ?? "");
  const cpuMs = (index: number) => (after[index]?.cpuMs ?? NaN) - (before[index]?.cpuMs ?? NaN);
  return [
    [
      `attaché | ${set.name}: push → complete set, p10 / p50 / p99 ms`,
      both((index) => percentiles(took[index])),
      "",
    ],
    ["  torn sets seen", both((index) => String(seen(index).filter(({ torn }) => torn).length)), "0"],
    ["  reads of its set", both((index) => String(seen(index).at(-1)?.reads)), ""],
    ["  RSS, MB", both((index) => fixed(after[index]?.rssMb ?? NaN)), ""],
    ["  CPU, ms for each change", both((index) => fixed(cpuMs(index) / count)), ""],
  ];
}

interface Change {
  readonly push: () => unknown;
  /** When the peer sent it, in milliseconds since 1970. */
  readonly pushedAt: () => number;
  readonly isNew: (seen: Seen, before: Seen | undefined) => boolean;
}

/** For each set, how long each change took until it was there whole, in milliseconds. */
async function measured(
  onlooker: Onlooker,
  names: readonly string[],
  count: number,
  { push, pushedAt, isNew }: Change,
): Promise<number[][]> {
  await Promise.all(names.map((name) => onlooker.until(name, 0, () => true)));
  const all: number[][] = names.map(() => []);
  for (let round = 0; round < count; round += 1) {
    await sleep(spacingMs);
    const before = names.map((name) => onlooker.of(name));
    const coming = names.map((name, index) => {
      const seen = before[index] ?? [];
      const last = seen.findLast(({ torn }) => torn === undefined);
      return onlooker.until(name, seen.length, (one) => isNew(one, last));
    });
    await push();
    const came = await Promise.all(coming);
    for (const [index, { at }] of came.entries()) all[index]?.push(at - pushedAt());
  }
  return all;
}

function otherSerial({ serial }: Seen, before: Seen | undefined): boolean {
  return serial !== before?.serial;
}

function moreRoots({ roots }: Seen, before: Seen | undefined): boolean {
  return roots > (before?.roots ?? 0);
}

function percentiles(values: readonly number[] = []): string {
  const sorted = values.toSorted((one, other) => one - other);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
  return [0.1, 0.5, 0.99].map((part) => fixed(at(part))).join(" / ");
}

async function folderOf(name: string): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder);
  return folder;
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

function fixed(value: number): string {
  return value.toFixed(2);
}
