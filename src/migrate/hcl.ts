import type { Fields } from "./given.ts";

/** A text is not HCL, from this line on. */
export class HclError extends Error {}

const maxDepth = 16;

const comment = /(?:\s|#.*|\/\/.*|\/\*[^]*?\*\/)*/y;
const heredoc = /<<-?(\w+)\r?\n([^]*?)^[ \t]*\1[ \t]*$/my;
const token = /"(?:[^"\\\n]|\\[^])*"|[\w.-]+|[={}[\],:]/y;

/**
 * Reads HCL 1, in which spiffe-helper and consul-template are configured. A block is an object, and several of
 * a name are a list. @throws HclError
 */
export function parseHcl(text: string): Fields {
  let at = 0;

  function match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = at;
    const found = pattern.exec(text) ?? undefined;
    at += found?.[0].length ?? 0;
    return found;
  }

  function next(): string {
    match(comment);
    return match(token)?.[0] ?? (at < text.length ? fail() : "");
  }

  function peek(): string {
    const before = at;
    const found = next();
    at = before;
    return found;
  }

  function fail(): never {
    throw new HclError(`line ${text.slice(0, at).split("\n").length} is not HCL`);
  }

  function value(depth: number): unknown {
    match(comment);
    const lines = match(heredoc)?.[2];
    if (lines !== undefined) return lines;
    const found = next();
    if (found.startsWith('"')) return unquoted(found);
    if (found === "{") return body("}", depth);
    if (found === "[") return list(depth);
    if (!/^[\w.-]+$/.test(found)) fail();
    return found === "true" || (found === "false" ? false : found);
  }

  function list(depth: number): unknown[] {
    if (depth > maxDepth) fail();
    const items: unknown[] = [];
    while (peek() !== "]") {
      items.push(value(depth + 1));
      if (peek() === ",") next();
    }
    next();
    return items;
  }

  function body(end: string, depth: number): Fields {
    if (depth > maxDepth) fail();
    const fields = new Map<string, unknown[]>();
    for (let key = next(); key !== end; key = next()) {
      if (!/^["\w]/.test(key)) fail();
      // A block may have labels before it begins.
      while (peek().startsWith('"')) next();
      if (peek() === "=" || peek() === ":") next();
      const values = fields.get(unquoted(key)) ?? [];
      values.push(value(depth + 1));
      fields.set(unquoted(key), values);
      if (peek() === ",") next();
    }
    return Object.fromEntries(
      [...fields].map(([key, [first, ...more]]) => [key, more.length > 0 ? [first, ...more] : first]),
    );
  }

  // JSON is HCL, too.
  if (peek() !== "{") return body("", 0);
  next();
  const fields = body("}", 0);
  return next() === "" ? fields : fail();
}

function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  return text
    .slice(1, -1)
    .replace(/\\([^])/g, (_, one: string) => ({ n: "\n", t: "\t", r: "\r" })[one] ?? one);
}
