import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import { startAttache } from "../app/attache.ts";
import { systemClock } from "../runtime/clock.ts";
import { loadSettings } from "../config/load.ts";
import { createLogger } from "../telemetry/logger.ts";
import { startClient } from "./client.ts";
import { type DevelopmentMesh, startDevelopmentMeshes, type DemoWorkload } from "./development-meshes.ts";
import { lookOn } from "./onlooker.ts";
import { readContext } from "./published.ts";
import type { Summary } from "./summary.ts";
import { startUpstream, type Upstream } from "./upstream.ts";
import type { Row, Scene } from "./view.ts";
import { makeWorkspace, namespace, writeSettings } from "./workspace.ts";

const requestsPerSecond = 20;
const upstreamRotatesEveryMs = 10_000;
const chaosEveryMs = 7_000;
const showEveryMs = 250;
const shownEvents = 5;

interface RunOptions {
  /** Where all files go; a new temporary folder by default. */
  readonly directory: string | undefined;
  /** Whether the servers of the meshes are killed and restarted repeatedly. */
  readonly chaos: boolean;
  /** Called a few times a second. */
  readonly show: (scene: Scene) => void;
  /** Called once, with the addresses of the console and of the metrics. */
  readonly onServing?: (console: string, metrics: string) => void;
}

/**
 * Runs all parts on this machine until `signal` aborts: development meshes, attaché as in
 * production, upstreams that demand mutual TLS, and a client with nothing but the published files.
 */
export async function runDemo(
  { directory, chaos, show, onServing }: RunOptions,
  signal: AbortSignal,
): Promise<Summary> {
  const clock = systemClock;
  await using stack = new AsyncDisposableStack();
  const workspace = stack.use(await makeWorkspace(directory));
  const published = join(workspace.published, namespace);
  const rotations = new Map<string, number>();
  const events: string[] = [];
  const tell = (event: string) => {
    events.unshift(`${clock.now().toISOString().slice(11, 19)}  ${event}`);
    events.splice(shownEvents);
  };

  const upstreams = new Map<DevelopmentMesh, Upstream>();
  const meshes = stack.use(
    await startDevelopmentMeshes({
      clock,
      directory: workspace.root,
      onRoots: (mesh) => {
        const { length } = mesh.authority.roots();
        tell(`${mesh.name} lists ${length} root${length === 1 ? "" : "s"} now`);
        void upstreams.get(mesh)?.rotate();
      },
    }),
  );
  for (const mesh of meshes.all) upstreams.set(mesh, stack.use(await startUpstreamOf(mesh)));
  await writeSettings(workspace, meshes.all);

  const routes = meshes.all.flatMap((mesh) => mesh.workloads.map((workload) => routeTo(workload, mesh)));
  const onlooker = stack.use(
    lookOn(published, (file) => {
      tell(`published ${file}`);
      for (const route of routes) route.load();
    }),
  );
  const log = createWriteStream(join(workspace.root, "attache.log"));
  stack.defer(() => new Promise<void>((resolve) => log.end(resolve)));
  const attache = stack.use(
    await startAttache({
      loaded: await loadSettings(workspace.settingsFile),
      logger: createLogger("info", log),
      clock,
      env: {},
      onPublished: ({ identity, cause }) => {
        if (cause !== "initial") rotations.set(identity, (rotations.get(identity) ?? 0) + 1);
      },
    }),
  );

  onServing?.(`http://${attache.consoleAddress ?? ""}/`, `http://${attache.address ?? ""}/metrics`);
  const startedAt = clock.now();
  const client = startClient(routes, { perSecond: requestsPerSecond, clock }, signal);
  let kills = 0;
  await Promise.all([
    client.done,
    every(upstreamRotatesEveryMs, async () => {
      for (const upstream of upstreams.values()) await upstream.rotate();
    }),
    every(chaosEveryMs, async () => {
      const victim = meshes.all[kills % meshes.all.length];
      if (!chaos || victim === undefined) return;
      kills += 1;
      tell(`killed the server of ${victim.name}`);
      await victim.kill(signal);
      tell(`the server of ${victim.name} is back`);
    }),
    every(showEveryMs, () => {
      const rows = routes.map(({ name, mesh }) => rowOf(name, mesh.name));
      show({ now: clock.now(), rows, rootRotations: meshes.rootRotations, traffic: client.traffic, events });
    }),
  ]);

  return {
    seconds: Math.round((clock.now().getTime() - startedAt.getTime()) / 1_000),
    identities: routes.length,
    rotations: [...rotations.values()].reduce((sum, count) => sum + count, 0),
    rootRotations: meshes.rootRotations,
    kills,
    ...client.traffic,
    reasons: [...client.traffic.reasons],
    writes: onlooker.writes,
    noopWrites: onlooker.noopWrites,
    ...(directory !== undefined && { directory: workspace.published }),
  };

  function routeTo({ name }: DemoWorkload, mesh: DevelopmentMesh) {
    let loaded: SecureContext | undefined;
    let loading = Promise.resolve();
    return {
      name,
      mesh,
      port: upstreams.get(mesh)?.port ?? 0,
      context: () => loaded,
      /** Loads a complete set only, one at a time, as Emissary does; keeps the former one until then. */
      load: () => {
        loading = loading.then(async () => {
          loaded = await readContext(published, name)
            .then(createSecureContext)
            .catch(() => loaded);
          // A root that changed before the first leaf would rotate nothing.
          if (routes.every(({ context }) => context() !== undefined)) meshes.startRotating();
        });
      },
    };
  }

  function rowOf(name: string, mesh: string): Row {
    const { status } = attache.reconcilers.find(({ identity }) => identity.metadata.name === name) ?? {};
    return { name, mesh, status, rotations: rotations.get(`${namespace}/${name}`) ?? 0 };
  }

  async function every(ms: number, work: () => Promise<void> | void): Promise<void> {
    for (;;) {
      await clock.sleep(ms, signal).catch(() => undefined);
      if (signal.aborted) return;
      await work();
    }
  }
}

function startUpstreamOf({ authority, workloads }: DevelopmentMesh): Promise<Upstream> {
  const uri = `spiffe://${authority.trustDomain}/upstream`;
  return startUpstream({ authority, uri, callers: workloads.map((workload) => workload.uri) });
}
