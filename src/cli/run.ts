import { unwatchFile, watchFile } from "node:fs";
import { type Attache, startAttache } from "../attache.ts";
import { systemClock } from "../clock.ts";
import type { LoadedSettings } from "../config/load.ts";
import { createLogger, type Logger } from "../telemetry/logger.ts";
import type { RunOptions } from "./program.ts";
import { settingsOf } from "./settings.ts";
import { untilSignalled } from "./signals.ts";

/** How often the settings file is looked at: by polling, which also sees a ConfigMap's symlinks change. */
const pollMs = 2_000;

/**
 * Runs attaché until SIGTERM or SIGINT. SIGHUP or a changed file starts it anew with the new settings, in which nothing
 * that is good is asked for or written again; settings that are wrong are told, and the old ones stay in force.
 */
export async function run(options: RunOptions): Promise<void> {
  const ended = untilSignalled();
  const load = () => settingsOf(options, levelFlag(options));
  let loaded = await load();
  let logger = createLogger(loaded.settings.log.level);
  const reload = watchSettings(options.config);
  try {
    while (!ended.aborted) {
      await using attache = await start(loaded, logger);
      loaded = await nextSettings({ attache, load, reload, ended, logger, current: loaded });
      logger = createLogger(loaded.settings.log.level);
    }
    logger.info("ended");
  } finally {
    reload.close();
  }
}

async function start(loaded: LoadedSettings, logger: Logger): Promise<Attache> {
  const attache = await startAttache({ loaded, logger, clock: systemClock, env: process.env });
  const { meshes, store } = loaded.settings;
  logger.info({ address: attache.address, meshes: Object.keys(meshes), store: store.kind }, "started");
  return attache;
}

interface Turn {
  readonly attache: Attache;
  readonly load: () => Promise<LoadedSettings>;
  readonly reload: Reload;
  readonly ended: AbortSignal;
  readonly logger: Logger;
  readonly current: LoadedSettings;
}

/** Resolves with settings that differ from the current ones, or at the end with those; rejects when attaché cannot go on. */
async function nextSettings({
  attache,
  load,
  reload,
  ended,
  logger,
  current,
}: Turn): Promise<LoadedSettings> {
  const end = new Promise<"end">((resolve) => {
    if (ended.aborted) resolve("end");
    ended.addEventListener("abort", () => resolve("end"), { once: true });
  });
  for (;;) {
    const what = await Promise.race([end, reload.next(), attache.done.then(() => "end" as const)]);
    if (what === "end") return current;
    try {
      const loaded = await load();
      if (JSON.stringify(loaded.settings) !== JSON.stringify(current.settings)) {
        logger.info("the settings have changed");
        return loaded;
      }
    } catch (error) {
      logger.warn({ err: error }, "the new settings are wrong; the old ones stay in force");
    }
  }
}

interface Reload {
  next(): Promise<"reload">;
  close(): void;
}

function watchSettings(file: string): Reload {
  let asked = Promise.withResolvers<"reload">();
  const ask = () => asked.resolve("reload");
  process.on("SIGHUP", ask);
  watchFile(file, { interval: pollMs }, ask);
  return {
    async next() {
      const what = await asked.promise;
      asked = Promise.withResolvers();
      return what;
    },
    close() {
      process.off("SIGHUP", ask);
      unwatchFile(file, ask);
    },
  };
}

function levelFlag({ logLevel }: RunOptions) {
  return logLevel === undefined ? [] : [{ path: ["log", "level"], text: logLevel, place: "--log-level" }];
}
