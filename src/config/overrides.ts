import { parseYaml, type YamlDocument } from "../text/yaml/document.ts";
import { settings } from "./settings.ts";

/** One setting from elsewhere than the file. */
export interface Override {
  readonly path: readonly string[];
  /** YAML, so that numbers, booleans and lists can be given too. */
  readonly text: string;
  /** How errors name the place: `ATTACHE_LOG_LEVEL`, `--set log.level`. */
  readonly place: string;
}

interface Overridden {
  readonly value: unknown;
  readonly placeOf: (path: readonly PropertyKey[]) => string;
}

/**
 * `document` with the overrides laid over it, the later ones over the earlier; the file itself stays as it is.
 * @throws DocumentError naming the place of an override that is no YAML.
 */
export function override({ value, place }: YamlDocument, overrides: readonly Override[]): Overridden {
  const merged = overrides.reduce(
    (under, { path, text, place: source }) => withAt(under, path, parseYaml(text, source)[0]?.value ?? null),
    value,
  );
  return {
    value: merged,
    placeOf: (path) =>
      overrides.findLast((one) => one.path.every((part, index) => path[index] === part))?.place ??
      place(path),
  };
}

/**
 * `ATTACHE_` and the path in capitals, with `_` between: ATTACHE_STORE_DIRECTORY_PATH. Only for settings with a fixed
 * path; meshes have names of their own, and secrets there have files.
 */
export function overridesFrom(env: Readonly<Record<string, string | undefined>>): Override[] {
  return fixedPaths(settings).flatMap((path) => {
    const place = `ATTACHE_${path.map(snake).join("_")}`;
    const text = env[place];
    return text === undefined ? [] : [{ path, text, place }];
  });
}

/** `log.level=debug`, as `--set` takes it; `undefined` if it is anything else. */
export function parseOverride(text: string): Override | undefined {
  const [, path, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (path === undefined || value === undefined) return undefined;
  return { path: path.split("."), text: value, place: `--set ${path}` };
}

function withAt(under: unknown, [first, ...rest]: readonly string[], value: unknown): unknown {
  if (first === undefined) return value;
  const object = typeof under === "object" && under !== null ? (under as Record<string, unknown>) : {};
  return { ...object, [first]: withAt(object[first], rest, value) };
}

function snake(name: string): string {
  return name.replace(/([A-Z])/g, "_$1").toUpperCase();
}

interface Definition {
  readonly shape?: Readonly<Record<string, unknown>>;
  readonly innerType?: unknown;
}

/** The paths of all settings that are no objects, nor below names that the user chooses. */
function fixedPaths(schema: unknown): string[][] {
  const { shape, innerType } = (schema as { readonly _zod: { readonly def: Definition } })._zod.def;
  if (shape === undefined) return innerType === undefined ? [[]] : fixedPaths(innerType);
  return Object.entries(shape).flatMap(([name, inner]) =>
    name === "meshes" ? [] : fixedPaths(inner).map((path) => [name, ...path]),
  );
}
