import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startAttache } from "../../src/app/attache.ts";
import { type Clock, systemClock } from "../../src/runtime/clock.ts";
import { loadSettings } from "../../src/config/load.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import type { Behaviour, Name, Peers, Request } from "./peers.ts";

const names = ["dc1", "dc2", "istio", "spire"] as const satisfies readonly Name[];

/**
 * Each pause takes a tenth of its time: a mesh that is not held off costs the more, and the test
 * ends sooner.
 */
const clock: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 10, signal) };

/** Rotations in each of the phases, one after the other. */
const rotations = 4;

/** With and without the one that misbehaves, by turns, so that what else the machine does is in both. */
const phases = ["well", "badly", "well", "badly"] as const;

/** Far above what one machine's moods make of a median, far below what it becomes if all wait for one. */
const latencyRatioMax = 5;

/** A mesh that floods and is not held off costs 2.5 times as much. */
const cpuRatioMax = 2;

let worker: Worker;
let peers: Peers;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "attache-"));
  worker = new Worker(new URL("./peers.ts", import.meta.url), { workerData: folder });
  [peers] = (await once(worker, "message")) as [Peers];
  return async () => {
    await ask({ end: true });
    await worker.terminate();
    await rm(folder, { recursive: true });
  };
}, 20_000);

describe("two datacenters of Consul, Istio and SPIRE in one process", { tags: ["thorough"] }, () => {
  it.each<[Name, Behaviour]>([
    ["dc2", "hangs"],
    ["spire", "floods"],
    ["istio", "garbles"],
  ])("rotate as soon as otherwise, and as cheaply, while %s %s", async (bad, behaviour) => {
    await using world = await setUp({ bad, behaviour });
    const others = names.filter((name) => name !== bad);
    // From the start it is as bad as it can be.
    await Promise.all(others.map((name) => world.publications(name, 1)));

    const latencies = { well: [] as number[], badly: [] as number[] };
    const cpu = { well: 0, badly: 0 };
    for (const phase of phases) {
      await ask({ of: bad, behaviour: phase === "well" ? "well" : behaviour });
      const before = process.threadCpuUsage();
      for (let count = 0; count < rotations; count += 1) {
        for (const name of others) latencies[phase].push(await world.rotated(name));
      }
      const { user, system } = process.threadCpuUsage(before);
      cpu[phase] += user + system;
    }
    expect(median(latencies.badly) / median(latencies.well)).toBeLessThan(latencyRatioMax);
    expect(cpu.badly / cpu.well).toBeLessThan(cpuRatioMax);
  });
});

/** attaché as `attache run` starts it, with one identity of each mesh, in a folder. */
async function setUp(first: { readonly bad: Name; readonly behaviour: Behaviour }) {
  const folder = await mkdtemp(join(tmpdir(), "attache-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await ask({ of: first.bad, behaviour: first.behaviour });

  const identities = join(folder, "identities");
  await mkdir(identities);
  const meshes: Record<string, object> = {};
  for (const [name, { settings, kind, identity }] of Object.entries(peers)) {
    meshes[name] = settings;
    const metadata = { name, namespace: "default" };
    const spec = { mesh: name, [kind]: identity };
    const object = { apiVersion: "attache.dev/v1alpha1", kind: "MeshCertificate", metadata, spec };
    await writeFile(join(identities, `${name}.yaml`), JSON.stringify(object));
  }
  const file = join(folder, "attache.yaml");
  const store = {
    kind: "directory",
    directory: { path: join(folder, "published"), identities: [identities] },
  };
  await writeFile(file, JSON.stringify({ meshes, store, server: { listen: "127.0.0.1:0" } }));

  const counts = new Map<string, number>();
  const wakers = new Set<() => void>();
  const attache = await startAttache({
    loaded: await loadSettings(file),
    clock,
    logger: createLogger("silent"),
    env: {},
    onPublished({ mesh }) {
      counts.set(mesh, (counts.get(mesh) ?? 0) + 1);
      for (const wake of wakers) wake();
      wakers.clear();
    },
  });

  /** Resolves when so many of a mesh's credentials were published. */
  async function publications(name: Name, count: number): Promise<void> {
    while ((counts.get(name) ?? 0) < count) await new Promise<void>((resolve) => wakers.add(resolve));
  }

  return {
    publications,
    /** Has a mesh rotate, and resolves when that is published, with how long it took, in milliseconds. */
    async rotated(name: Name): Promise<number> {
      const published = publications(name, (counts.get(name) ?? 0) + 1);
      const startedAt = performance.now();
      worker.postMessage({ rotate: name } satisfies Request);
      const done = once(worker, "message");
      await published;
      const tookMs = performance.now() - startedAt;
      await done;
      return tookMs;
    },
    async [Symbol.asyncDispose]() {
      await attache[Symbol.asyncDispose]();
      await ask({ of: first.bad, behaviour: "well" });
    },
  };
}

async function ask(request: Request): Promise<void> {
  worker.postMessage(request);
  await once(worker, "message");
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? NaN;
}
