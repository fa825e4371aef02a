import { types } from "node:util";
import { beginning, withoutTokens } from "../text/without-tokens.ts";

/** How much to log, from everything to nothing. */
export const levels = ["debug", "info", "warn", "error", "silent"] as const;
export type Level = (typeof levels)[number];

const maxDepth = 6;
/** Limit for one list or object. */
const maxItems = 50;
/** Limit for one string, in characters. */
const maxText = 2_000;
/** Limit for all strings of a line, however much a peer sends. */
const maxLine = 16_000;

const redacted = "[redacted]";

/** A plain copy of `fields` for one log line: bounded in every way, without keys, tokens and raw bytes. */
export function loggable(fields: object): Record<string, unknown> {
  let left = maxLine;
  return entries(fields, 0);

  function show(value: unknown, depth: number): unknown {
    if (typeof value === "string") return text(value);
    if (typeof value === "bigint") return text(value.toString());
    if (typeof value !== "object" || value === null) return value;
    if (types.isKeyObject(value) || types.isCryptoKey(value) || isJwk(value)) return redacted;
    if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return `[${value.byteLength} bytes]`;
    if (depth === maxDepth) return "[deeper]";
    if (value instanceof Error) return entries(factsOf(value), depth);
    if (value instanceof Map) return entries(Object.fromEntries<unknown>(value), depth);
    if (value instanceof Set || Array.isArray(value)) return list([...(value as Iterable<unknown>)], depth);
    if (hasOwnForm(value)) return show(value.toJSON(), depth + 1);
    return entries(value, depth);
  }

  function text(value: string): string {
    const read = beginning(value, 4 * maxText);
    const shown = withoutTokens(read.replace(invisible, ""));
    const length = Math.min(maxText, left);
    left -= Math.min(shown.length, length);
    return read === value && shown.length <= length ? shown : `${shown.slice(0, length).toWellFormed()}…`;
  }

  function list(items: readonly unknown[], depth: number): unknown[] {
    const shown: unknown[] = [];
    for (const item of items.slice(0, maxItems)) if (left > 0) shown.push(show(item, depth + 1));
    const more = items.length - shown.length;
    return more === 0 ? shown : [...shown, `… ${more} more`];
  }

  function entries(value: object, depth: number): Record<string, unknown> {
    const shown: [string, unknown][] = [];
    for (const [name, item] of Object.entries(value).slice(0, maxItems)) {
      if (left > 0) shown.push([text(name), isSecret(name, item) ? redacted : show(item, depth + 1)]);
    }
    const more = Object.keys(value).length - shown.length;
    return Object.fromEntries(more === 0 ? shown : [...shown, ["…", `${more} more`]]);
  }
}

/**
 * The only fields of an error that are logged: what libraries add to theirs (requests, headers, metadata) may
 * hold tokens. The stack is logged for errors without a remedy.
 */
function factsOf(
  error: Error & { readonly code?: unknown; readonly remedy?: unknown; readonly errors?: unknown },
): object {
  const { name, code, message, remedy, stack, cause, errors } = error;
  return { type: name, code, message, remedy, ...(remedy === undefined && { stack }), cause, errors };
}

/** JSON Web Key (RFC 7517), whose private members have names of one letter. */
function isJwk(value: object): boolean {
  return "kty" in value;
}

function hasOwnForm(value: object): value is { toJSON(): unknown } {
  return "toJSON" in value && typeof value.toJSON === "function";
}

/** Bidirectional, zero-width and C1 control characters, which JSON keeps and terminals obey. */
const invisible = /[\p{Cf}\p{Cs}\u007f-\u009f]+/gu;

/** Whether a field of this name holds a key or a token, or an object that does. */
function isSecret(name: string, value: unknown): boolean {
  return (
    typeof value !== "boolean" && value !== undefined && secretName.test(name.replaceAll(/[-_.\s]/g, ""))
  );
}

const secretName =
  /^key$|(?:token|password|passphrase|authorization|cookie|secretid|apikey|privatekey|tlskey|clientkey|key(?:data|pem))$/i;
