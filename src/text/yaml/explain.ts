import type { z } from "zod";
import { didYouMean } from "../did-you-mean.ts";
import { type Shape, definitionOf, unwrap } from "../zod-schema.ts";
import { maxProblems, type Problem } from "./document-error.ts";

type Issue = z.core.$ZodIssue;

/**
 * What zod found wrong, in words that say what to write instead: {@link maxProblems} and one more at most,
 * each of a bounded length, as the author of the document may mean harm.
 *
 * @param schema what was parsed with, to name the keys that it knows.
 * @param placeOf where a path stands.
 */
export function explain(
  issues: readonly Issue[],
  schema: z.ZodType,
  placeOf: (path: readonly PropertyKey[]) => string,
): Problem[] {
  const problems: Problem[] = [];
  for (const issue of issues) {
    const left = maxProblems + 1 - problems.length;
    if (left <= 0) break;
    if (issue.code !== "unrecognized_keys") {
      problems.push(problem(issue.path, messageOf(issue), placeOf));
      continue;
    }
    const objects = objectsAt(schema, issue.path);
    for (const key of issue.keys.slice(0, left)) {
      problems.push(problem([...issue.path, key], unknownKey(key, objects, issue.input), placeOf));
    }
  }
  return problems;
}

const maxLength = 600;

/** On one line, without control characters and what reorders text. */
function shown(text: string): string {
  const line = text.slice(0, maxLength + 1).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
  return line.length > maxLength ? `${line.slice(0, maxLength)}…` : line;
}

function problem(
  path: readonly PropertyKey[],
  message: string,
  placeOf: (path: readonly PropertyKey[]) => string,
) {
  return { place: placeOf(path), path: shown(path.map(String).join(".")), message: shown(message) };
}

function unknownKey(key: string, objects: readonly ObjectSchema[], input: unknown): string {
  const home = objects.find(({ shape }) => Object.hasOwn(shape, key))?.mark;
  if (home !== undefined) return `belongs to "${home.key}: ${String(home.value)}"`;
  const known = objects
    .filter(({ mark }) => isMarked(input, mark))
    .flatMap(({ shape }) => Object.keys(shape));
  const meant = didYouMean(key, known);
  if (meant !== undefined) return `unknown key; did you mean "${meant}"?`;
  return known.length > 0 ? `unknown key; known here: ${known.join(", ")}` : "unknown key";
}

function messageOf(issue: Issue): string {
  if (issue.code === "invalid_value") {
    return issue.message.replace(/^Invalid (?:option|input): expected (?:one of )?/, "must be one of ");
  }
  if (issue.code !== "invalid_type") {
    return issue.message
      .replace(/^Too big: expected \w+ to (be|have) <=/, "must $1 at most ")
      .replace(/^Too small: expected \w+ to (be|have) >=/, "must $1 at least ");
  }
  return issue.input === undefined && issue.message.endsWith("undefined")
    ? `is missing; write ${article(issue.expected)}`
    : issue.message.replace("Invalid input: expected", "must be").replace(", received", ", not");
}

function article(expected: string): string {
  return /^[aeiou]/.test(expected) ? `an ${expected}` : `a ${expected}`;
}

/** The keys of an object, and the mark of its variant in a union. */
interface ObjectSchema {
  readonly shape: Shape;
  readonly mark?: Mark;
}

/** `mode: grpc`; where nothing is written, the default one is meant. */
interface Mark {
  readonly key: string;
  readonly value: unknown;
  readonly isDefault: boolean;
}

function isMarked(input: unknown, mark: Mark | undefined): boolean {
  if (mark === undefined) return true;
  const written = (input as Shape)[mark.key];
  return written === undefined ? mark.isDefault : written === mark.value;
}

/** The object schemas at `path`, through defaults, optionals and unions. */
function objectsAt(schema: unknown, path: readonly PropertyKey[]): ObjectSchema[] {
  const { options, discriminator, shape, valueType, element } = definitionOf(unwrap(schema));
  if (options !== undefined) {
    return options.flatMap((option) => objectsAt(option, path).map((one) => marked(one, discriminator)));
  }
  const [part, ...rest] = path;
  if (part !== undefined) return objectsAt(shape?.[String(part)] ?? valueType ?? element, rest);
  return shape === undefined ? [] : [{ shape }];
}

/** Below the union itself, objects have other keys. */
function marked({ shape }: ObjectSchema, key = ""): ObjectSchema {
  const schema = shape[key];
  const [value] = definitionOf(unwrap(schema)).values ?? [];
  if (value === undefined) return { shape };
  return { shape, mark: { key, value, isDefault: unwrap(schema) !== schema } };
}
