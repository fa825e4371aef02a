import { unwatchFile, watchFile, writeSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { type Attache, startAttache } from "../app/attache.ts";
import { checkMeshes } from "../app/meshes.ts";
import { aborted } from "../runtime/abort.ts";
import { systemClock } from "../runtime/clock.ts";
import type { LoadedSettings } from "../config/load.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { createLogger, type RootLogger } from "../telemetry/logger.ts";
import type { SettingsState } from "../telemetry/state.ts";
import type { RunOptions } from "./options.ts";
import { defaultSettingsFile, settingsOf } from "./settings.ts";
import { untilSignalled } from "./signals.ts";

/**
 * The interval of checks for a changed settings file. Polling also notices a change of a ConfigMap's
 * symlinks.
 */
const pollMs = 2_000;

const endsWithinMs = 5_000;

/**
 * Runs attaché until SIGTERM or SIGINT. SIGHUP or a changed file restarts it with the new settings; valid
 * credentials are neither requested nor written again. A new log level alone restarts nothing. Wrong settings
 * are reported, and the old ones stay in force.
 */
export async function run(options: RunOptions): Promise<void> {
  const ended = untilSignalled();
  // A start may hang, too.
  ended.addEventListener("abort", () => endByForce().unref());
  const load = () => settingsOf(options, levelFlag(options));
  const reload = watchSettings(options.config ?? defaultSettingsFile);
  try {
    let turn = await start(await load());
    for (;;) {
      let next: LoadedSettings | undefined;
      try {
        next = await nextSettings(turn, { load, reload, ended });
      } finally {
        await finish(turn, next === undefined);
      }
      if (next === undefined) break;
      turn = await restart(next, turn);
    }
    turn.logger.log("Ended");
  } finally {
    reload.close();
  }
}

/** A run with one set of settings. */
interface Turn {
  /** Replaced when the log level alone changes. */
  loaded: LoadedSettings;
  readonly logger: RootLogger;
  readonly attache: Attache;
  readonly state: { -readonly [K in keyof SettingsState]: SettingsState[K] };
}

async function start(loaded: LoadedSettings): Promise<Turn> {
  const { meshes, store, log } = loaded.settings;
  const logger = createLogger(log.level);
  const state = { digest: loaded.digest, since: new Date() };
  const attache = await startAttache({
    loaded,
    logger,
    settings: state,
    clock: systemClock,
    env: process.env,
  });
  logger.log("Started", { address: attache.address, meshes: Object.keys(meshes), store: store.kind });
  return { loaded, logger, attache, state };
}

/** Leaves a mark of new settings that do not come into force, for as long as the file has them. */
function refuse(
  { attache, logger, state }: Turn,
  error: unknown,
  id: "SettingsRefused" | "StartRefused",
): void {
  logger.log(id, { err: error });
  state.refused = {
    at: new Date(),
    code: error instanceof AttacheError ? error.code : "ATTACHE_INTERNAL",
  };
  attache.settingsRefused(error);
}

/** Some problems show only at the start, e.g. a port in use. The old settings are then used again. */
async function restart(loaded: LoadedSettings, before: Turn): Promise<Turn> {
  try {
    return await start(loaded);
  } catch (error) {
    const turn = await start(before.loaded);
    refuse(turn, error, "StartRefused");
    return turn;
  }
}

interface Waiting {
  readonly load: () => Promise<LoadedSettings>;
  readonly reload: Reload;
  readonly ended: AbortSignal;
}

/**
 * Resolves with settings that differ from those of `turn`, or with nothing at the end; rejects when attaché
 * cannot go on.
 */
async function nextSettings(
  turn: Turn,
  { load, reload, ended }: Waiting,
): Promise<LoadedSettings | undefined> {
  const { attache, logger, state } = turn;
  const end = Promise.race([aborted(ended), attache.done]);
  for (;;) {
    const what = await Promise.race([end, reload.next()]);
    if (what !== "reload") return undefined;
    try {
      const loaded = await load();
      const present = turn.loaded.settings;
      if (isDeepStrictEqual({ ...loaded.settings, log: present.log }, present)) {
        Object.assign(state, { digest: loaded.digest, refused: undefined });
        turn.loaded = loaded;
        logger.setLevel(loaded.settings.log.level);
        continue;
      }
      await checkMeshes(loaded);
      logger.log("SettingsChanged");
      return loaded;
    } catch (error) {
      refuse(turn, error, "SettingsRefused");
    }
  }
}

/** Also ends a process whose adapter or disk hangs. All writes are atomic, so no file is left incomplete. */
async function finish({ attache }: Turn, isLast: boolean): Promise<void> {
  const force = endByForce();
  try {
    await attache[Symbol.asyncDispose]();
  } finally {
    // A call that hangs in a thread keeps the process alive after the end.
    if (isLast) force.unref();
    else clearTimeout(force);
  }
}

/**
 * Ends the process with status 1 after {@link endsWithinMs}. `process.exit` waits for threads, which a
 * hanging disk holds in the system. The first process of a container ignores its own SIGKILL. execve ends
 * all threads.
 */
function endByForce(): NodeJS.Timeout {
  return setTimeout(() => {
    const { execPath, pid } = process;
    // As process.exit does: loggers write what they hold.
    process.emit("exit", 1);
    const destination = { write: (line: string) => void writeSync(process.stderr.fd, line) };
    createLogger("error", destination).log("EndForced", { withinMs: endsWithinMs });
    process.execve?.(execPath, [execPath, "--eval", "process.exitCode = 1"], {});
    process.kill(pid, "SIGKILL");
  }, endsWithinMs);
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
