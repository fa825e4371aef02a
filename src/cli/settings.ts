import { type LoadedSettings, loadSettings } from "../config/load.ts";
import { type Override, overridesFrom, parseOverride } from "../config/overrides.ts";
import { UsageError } from "./errors.ts";
import type { SettingsOptions } from "./options.ts";

/** Relative to the working directory. */
export const defaultSettingsFile = "attache.yaml";

/** The settings of a command, from file, environment and flags; the later wins. */
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
