import type { z } from "zod";
import { didYouMean } from "../errors/did-you-mean.ts";
import type { Problem } from "./document-error.ts";

type Issue = z.core.$ZodIssue;

/**
 * What zod found wrong, in words that say what to write instead.
 *
 * @param schema what was parsed with, to name the keys that it knows.
 * @param placeOf where a path stands.
 */
export function explain(
  issues: readonly Issue[],
  schema: z.ZodType,
  placeOf: (path: readonly PropertyKey[]) => string,
): Problem[] {
  return issues.flatMap((issue) => {
    if (issue.code !== "unrecognized_keys") return [problem(issue.path, messageOf(issue), placeOf)];
    const known = keysAt(schema, issue.path);
    return issue.keys.map((key) => problem([...issue.path, key], unknownKey(key, known), placeOf));
  });
}

function problem(
  path: readonly PropertyKey[],
  message: string,
  placeOf: (path: readonly PropertyKey[]) => string,
) {
  return { place: placeOf(path), path: path.map(String).join("."), message };
}

function unknownKey(key: string, known: readonly string[]): string {
  const meant = didYouMean(key, known);
  if (meant !== undefined) return `unknown key; did you mean "${meant}"?`;
  return known.length > 0 ? `unknown key; known here: ${known.join(", ")}` : "unknown key";
}

function messageOf(issue: Issue): string {
  if (issue.code === "invalid_value") {
    return issue.message.replace(/^Invalid (?:option|input): expected (?:one of )?/, "must be one of ");
  }
  if (issue.code !== "invalid_type") return issue.message;
  return issue.input === undefined && issue.message.endsWith("undefined")
    ? `is missing; write ${article(issue.expected)}`
    : issue.message.replace("Invalid input: expected", "must be").replace(", received", ", not");
}

function article(expected: string): string {
  return /^[aeiou]/.test(expected) ? `an ${expected}` : `a ${expected}`;
}

/** The keys of the object schema at `path`, through defaults, optionals and unions. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema;
  for (const part of path) {
    const unwrapped = unwrap(at);
    at =
      shapeOf(unwrapped)?.[String(part)] ??
      definition(unwrapped)?.["valueType"] ??
      definition(unwrapped)?.["element"];
  }
  return Object.keys(shapeOf(unwrap(at)) ?? {});
}

type Definition = Readonly<Record<string, unknown>>;

function definition(schema: unknown): Definition | undefined {
  return (schema as { readonly _zod?: { readonly def: Definition } } | undefined)?._zod?.def;
}

function shapeOf(schema: unknown): Definition | undefined {
  return definition(schema)?.["shape"] as Definition | undefined;
}

function unwrap(schema: unknown): unknown {
  const inner = definition(schema)?.["innerType"] ?? definition(schema)?.["in"];
  return inner === undefined ? schema : unwrap(inner);
}
