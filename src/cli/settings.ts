import { parseDuration } from "../text/duration.ts";
import { type LoadedSettings, loadSettings } from "../config/load.ts";
import { type Override, overridesFrom, parseOverride } from "../config/overrides.ts";
import { UsageError } from "./errors.ts";
import type { SettingsOptions } from "./options.ts";

/** In the folder where a command is run. */
export const defaultSettingsFile = "attache.yaml";

/** The settings that a command works with: file, then environment, then flags; the later wins. */
export function settingsOf(
  { config = defaultSettingsFile, set = [] }: SettingsOptions,
  flags: readonly Override[] = [],
): Promise<LoadedSettings> {
  return loadSettings(config, [...overridesFrom(process.env), ...set.map(overrideOf), ...flags]);
}

function overrideOf(text: string): Override {
  const override = parseOverride(text);
  if (override !== undefined) return override;
  throw new UsageError(`--set ${text}: there is no "="`, {
    remedy: "Write --set PATH=VALUE, e.g. --set log.level=debug.",
  });
}

/** The farthest that a timer goes, in milliseconds: 24 days. */
const longestTimerMs = 2 ** 31 - 1;

/** Aborts after a time. */
export function timeout(ms: number): AbortSignal {
  return AbortSignal.timeout(Math.min(Math.round(ms), longestTimerMs));
}

/** In milliseconds. */
export function durationOf(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  throw new UsageError(`"${text}" is no duration`, {
    remedy: "Write a number and a unit: 500ms, 60s, 15m, 24h.",
  });
}
