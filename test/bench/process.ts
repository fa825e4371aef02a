import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { startAttache } from "../../src/app/attache.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { loadSettings } from "../../src/config/load.ts";
import { openDirectoryStore } from "../../src/store/directory/directory-store.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { installMesh } from "./plugin.ts";

/**
 * attaché in this process as it runs in production, server and metrics included, over a prepared mesh and a
 * directory store.
 */
export interface BenchProcess extends AsyncDisposable {
  /** Objects written so far. */
  readonly writes: number;
  /** How often a target was found to be as it should, or made so. */
  readonly applies: number;
  onPublished: () => void;
  /** Resolves once nothing was reported for so many milliseconds. */
  quiet(ms: number): Promise<void>;
}

export async function startProcess(folder: string): Promise<BenchProcess> {
  const clock = systemClock;
  const logger = createLogger("warn");
  const file = join(folder, "attache.yaml");
  await writeFile(file, await settingsOf(folder));
  const loaded = await loadSettings(file);
  const { installation, store: settings } = loaded.settings;
  const store = await openDirectoryStore({ ...settings.directory, installation, clock, logger });
  let reportedAt = performance.now();
  const counts = { writes: 0, applies: 0 };
  const apply = store.apply.bind(store);
  store.apply = async (...target) => {
    const applied = await apply(...target);
    counts.applies += 1;
    counts.writes += applied.writes;
    return applied;
  };
  const report = store.report.bind(store);
  store.report = async (...status) => {
    await report(...status);
    reportedAt = performance.now();
  };
  const bench: Pick<BenchProcess, "onPublished"> = { onPublished: () => undefined };
  const attache = await startAttache({
    loaded,
    clock,
    logger,
    env: {},
    store,
    onPublished: () => bench.onPublished(),
  });
  return {
    get writes() {
      return counts.writes;
    },
    get applies() {
      return counts.applies;
    },
    get onPublished() {
      return bench.onPublished;
    },
    set onPublished(listener) {
      bench.onPublished = listener;
    },
    async quiet(ms) {
      while (performance.now() - reportedAt < ms) await setTimeout(100);
    },
    [Symbol.asyncDispose]: () => attache[Symbol.asyncDispose](),
  };
}

async function settingsOf(folder: string): Promise<string> {
  return JSON.stringify({
    meshes: { bench: await installMesh(folder) },
    server: { listen: "127.0.0.1:0" },
    store: { directory: { path: join(folder, "published"), identities: [join(folder, "identities")] } },
  });
}
