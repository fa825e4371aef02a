import type { z } from "zod";
import { didYouMean } from "../text/did-you-mean.ts";
import { DocumentError, type Problem } from "../text/yaml/document-error.ts";
import { parseYaml, type YamlDocument } from "../text/yaml/document.ts";
import { definitionOf, schemasAt, unwrap } from "../text/zod-schema.ts";
import { settings } from "./settings.ts";

/** One setting from elsewhere than the file. */
export interface Override {
  readonly path: readonly string[];
  /** As it is where the setting is text; else YAML, so that numbers, booleans and lists can be given too. */
  readonly text: string;
  /** How errors name the place: `ATTACHE_LOG_LEVEL`, `--set log.level`. */
  readonly place: string;
}

interface Overridden {
  readonly value: unknown;
  readonly placeOf: (path: readonly PropertyKey[]) => string;
}

/**
 * `document` with the overrides laid over it, the later ones over the earlier; the file itself stays as it
 * is. What `schema` has as text is read as text: `010` is no number then, and `yes` no boolean.
 * @throws DocumentError naming the place of an override that is no YAML.
 */
export function override(
  { value, place }: YamlDocument,
  overrides: readonly Override[],
  schema: z.ZodType,
): Overridden {
  const merged = overrides.reduce((under, one) => withAt(under, one.path, valueOf(one, schema)), value);
  return {
    value: merged,
    placeOf: (path) =>
      overrides.findLast((one) => one.path.every((part, index) => path[index] === part))?.place ??
      place(path),
  };
}

function valueOf({ path, text, place }: Override, schema: z.ZodType): unknown {
  const definitions = schemasAt(schema, path).map(definitionOf);
  if (definitions.some(isText)) return text.trim();
  const hasTexts = definitions.some(({ element }) => isText(definitionOf(unwrap(element))));
  try {
    return parseYaml(text, place, { scalars: hasTexts ? "text" : "core" })[0]?.value ?? null;
  } catch (error) {
    // An adapter's setting, of which the adapter's schema says what it is.
    if (error instanceof DocumentError && definitions.length === 0) return text;
    throw error;
  }
}

function isText({ type = "" }: { readonly type?: string }): boolean {
  return type === "string" || type === "enum";
}

/**
 * `ATTACHE_` and the path in capitals, with `_` between: ATTACHE_STORE_DIRECTORY_PATH. Only for settings with
 * a fixed path; meshes have names of their own, and secrets there have files. An empty variable is as good as
 * none.
 * @throws DocumentError for a variable that is probably a misspelt one.
 */
export function overridesFrom(env: Readonly<Record<string, string | undefined>>): Override[] {
  const known = variables();
  const given = Object.entries(env).filter(([name, text]) => name.startsWith(prefix) && text?.trim());
  const problems = given.flatMap(([name]) => (known.has(name) ? [] : (misspelt(name, known) ?? [])));
  if (problems.length > 0) throw new DocumentError(problems);
  return given.flatMap(([place, text = ""]) => {
    const path = known.get(place);
    return path === undefined ? [] : [{ path, text, place }];
  });
}

/** The paths of all settings that have a variable, by its name. */
export function variables(): Map<string, readonly string[]> {
  return new Map(fixedPaths(settings).map((path) => [variableOf(path), path]));
}

const prefix = "ATTACHE_";

function variableOf(path: readonly string[]): string {
  return prefix + path.map(snake).join("_");
}

/** Other variables may begin with `ATTACHE_` too: Kubernetes sets some for a Service of that name. */
function misspelt(name: string, known: ReadonlyMap<string, readonly string[]>): Problem | undefined {
  if (name === "ATTACHE_CONFIG" || serviceLink.test(name)) return undefined;
  if (name.startsWith("ATTACHE_MESHES_")) {
    return {
      place: name,
      path: "",
      message: "meshes have no variables: write `meshes` in the settings file",
    };
  }
  const meant = didYouMean(name, [...known.keys()]);
  if (meant !== undefined)
    return { place: name, path: "", message: `unknown variable; did you mean "${meant}"?` };
  const [section] = name.slice(prefix.length).split("_");
  const siblings = [...known].filter(
    ([, path]) => path.length > 1 && variableOf(path).startsWith(`${prefix}${section}_`),
  );
  if (siblings.length === 0) return undefined;
  const names = siblings.map(([sibling]) => sibling).join(", ");
  return { place: name, path: "", message: `unknown variable; known are: ${names}` };
}

const serviceLink =
  /_(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;

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

/** The paths of all settings that are no objects, nor below names that the user chooses. */
function fixedPaths(schema: unknown): string[][] {
  const { shape } = definitionOf(unwrap(schema));
  if (shape === undefined) return [[]];
  return Object.entries(shape).flatMap(([name, inner]) =>
    name === "meshes" ? [] : fixedPaths(inner).map((path) => [name, ...path]),
  );
}
