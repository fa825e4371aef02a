/**
 * Run from its source: `main.ts SCALE` runs attaché, as it is released, beside cert-manager and trust-manager, one after
 * the other on one API server, and prints the figures as JSON.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accessOf } from "../../../src/kube/access.ts";
import { openKubeClient } from "../../../src/kube/client.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { systemClock as clock } from "../../../src/runtime/clock.ts";
import { buildPeer } from "../../peers/build.ts";
import { startControlPlane } from "../../peers/kubernetes/control-plane.ts";
import { applyDefinitions, installDefinitions } from "../../peers/kubernetes/definitions.ts";
import { accessFile, connect, onAll } from "../kubernetes/client.ts";
import type { Figure } from "../kubernetes/figures.ts";
import { type AttacheContender, attacheContender } from "./attache.ts";
import { AuditLog } from "./audit-log.ts";
import { certManager } from "./cert-manager.ts";
import type { Contender } from "./contender.ts";
import { type Cost, Meter } from "./cost.ts";
import { Observed } from "./observed.ts";
import { trustManager } from "./trust-manager.ts";

const scale = Number(process.argv[2] ?? 1);
const count = 1_000 * scale;
/** V8 returns memory some seconds after the last request. */
const restMs = 15_000 * scale;

const root = await mkdtemp(join(tmpdir(), "attache-bench-"));
try {
  const audit = new AuditLog(root);
  await using plane = await startControlPlane({ apiServerFlags: await audit.flags() });
  await installDefinitions(plane.admin);
  for (const peer of ["cert-manager", "trust-manager"] as const) {
    const folder = join(await buildPeer(peer), "crds");
    for (const file of await readdir(folder)) {
      await applyDefinitions(plane.admin, await readFile(join(folder, file), "utf8"));
    }
  }
  await writeFile(accessFile(root), JSON.stringify(plane.access));
  await using client = await connect(root);
  const { server, ca, token } = plane.access;
  const principal = { server, namespace: "default", ca: { text: ca }, token: { text: token } };
  await using watcher = openKubeClient(accessOf(principal, clock), { userAgent: "bench", clock });

  const ours = await attacheContender(client, await folderOf("attache"));
  const own = await certificates(ours);
  const others = await certificates(await certManager(client, await folderOf("cert-manager")));
  const ownRoots = await rootsOfAttache(ours);
  const otherRoots = await rootsOfTrustManager();
  const sides = "attaché | cert-manager";
  const figures: Figure[] = [
    ...rows(`${count} issued: ${sides}`, own.issued, others.issued, "≤ ⅓"),
    ...rows(`${count} renewed at once: ${sides}`, own.renewed, others.renewed, "≤ ⅓"),
    ...rows(`restart with ${count}: ${sides}`, own.restarted, others.restarted, "≤ 0.7"),
    ...rows(`restart among ${2 * count} foreign Secrets: ${sides}`, own.crowded, others.crowded, ""),
    ...rows(`root added in ${count}: attaché | trust-manager`, ownRoots, otherRoots, ""),
  ];
  process.stdout.write(JSON.stringify(figures));

  async function certificates(contender: Contender) {
    const meter = new Meter(audit, contender.agent, restMs);
    const start = (namespace: string) => meter.start(() => contender.start(namespace));
    const observe = (namespace: string) => new Observed(watcher, contender.leaves(namespace));

    // The API server does everything for the first time.
    const warm = `${contender.name}-warm`;
    await newNamespace(warm);
    await contender.want(warm, 10);
    {
      const [running] = await start(warm);
      await using _running = running;
      await using leaves = observe(warm);
      await leaves.changed(10);
    }

    const namespace = contender.name;
    await newNamespace(namespace);
    await contender.want(namespace, count);
    const [issued, renewed] = await (async () => {
      await using leaves = observe(namespace);
      const [running, started] = await start(namespace);
      await using _running = running;
      const issued = await meter.cost(running, started, leaves.changed(count));
      leaves.mark();
      const asked = await meter.from(running);
      await contender.renew(namespace, count);
      return [issued, await meter.cost(running, asked, leaves.changed(count))] as const;
    })();
    const restarted = await restart();
    await crowd(namespace);
    const crowded = await restart();
    await client.send("DELETE", `${pathOf(resources.secrets, { namespace })}?labelSelector=foreign`);
    return { issued, renewed, restarted, crowded };

    async function restart(): Promise<Cost> {
      const [running, started] = await start(namespace);
      await using _running = running;
      return await meter.cost(running, started);
    }
  }

  async function rootsOfAttache(attache: AttacheContender): Promise<Cost> {
    const meter = new Meter(audit, attache.agent, restMs);
    await using roots = new Observed(watcher, attache.roots(attache.name));
    await using running = await attache.start(attache.name);
    await meter.cost(running, await meter.from(running), roots.changed(count));
    return await rootAdded(meter, running, roots, () => attache.addRoot());
  }

  async function rootsOfTrustManager(): Promise<Cost> {
    const tool = await trustManager(client, await folderOf("trust-manager"), count);
    const meter = new Meter(audit, tool.agent, restMs);
    await using roots = new Observed(watcher, tool.targets);
    await using running = await tool.start();
    await meter.cost(running, await meter.from(running), roots.changed(count));
    return await rootAdded(meter, running, roots, () => tool.addRoot());
  }

  async function newNamespace(name: string): Promise<void> {
    const body = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
    await client.send("POST", pathOf(resources.namespaces), body);
  }

  /** Secrets of 100 KB of other owners. */
  async function crowd(namespace: string): Promise<void> {
    const data = { blob: Buffer.alloc(100_000, "attaché").toString("base64") };
    await onAll(2 * count, async (index) => {
      const metadata = { namespace, name: `foreign-${index}`, labels: { foreign: "true" } };
      const secret = { apiVersion: "v1", kind: "Secret", metadata, data };
      await client.send("POST", pathOf(resources.secrets, { namespace }), secret);
    });
  }
} finally {
  await rm(root, { recursive: true, force: true });
}

async function rootAdded(
  meter: Meter,
  running: Parameters<Meter["cost"]>[0],
  roots: Observed,
  add: () => Promise<void>,
): Promise<Cost> {
  roots.mark();
  const asked = await meter.from(running);
  await add();
  return meter.cost(running, asked, roots.changed(count));
}

function rows(title: string, own: Cost, other: Cost, goal: string): Figure[] {
  const both = (of: (cost: Cost) => string) => `${of(own)}  |  ${of(other)}`;
  return [
    [`${title}, s`, both(({ seconds }) => seconds.toFixed(2)), goal],
    ["  CPU, s", both(({ cpuSeconds }) => cpuSeconds.toFixed(2)), goal],
    [
      "  RSS at rest / at most, MB",
      both((cost) => `${cost.rssMb.toFixed(0)} / ${cost.peakMb.toFixed(0)}`),
      "",
    ],
    ["  requests", both(({ sent }) => String(sent.requests)), ""],
    ["  writes / Events", both(({ sent }) => `${sent.writes} / ${sent.events}`), ""],
  ];
}

async function folderOf(name: string): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder);
  return folder;
}
