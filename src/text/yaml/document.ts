import { Composer, type Document, LineCounter, Parser } from "yaml";
import { DocumentError, maxProblems } from "./document-error.ts";
import { type Fault, faultsOf, offsetOf } from "./faults.ts";

/** The limit for a file of settings or of MeshCertificates. */
const maxDocumentBytes = 1024 * 1024;

/** A parsed YAML document that knows where its parts stand. */
export interface YamlDocument {
  readonly value: unknown;
  /** `FILE:LINE:COLUMN` of the key or item at `path`, or of the nearest thing around it. */
  readonly place: (path: readonly PropertyKey[]) => string;
}

/** Whether plain scalars may be numbers, booleans and null, as in the core schema, or are text. */
type Scalars = "core" | "text";

/**
 * The documents of a YAML 1.2 text; empty ones are left out. Keys are text, and unique in their map.
 * @throws DocumentError naming each place where it is not YAML, or exceeds what people write.
 */
export function parseYaml(text: string, file: string, scalars: Scalars = "core"): YamlDocument[] {
  return [...yamlDocuments(text, file, scalars)].filter((document) => document !== undefined);
}

/**
 * As {@link parseYaml}, one by one, and `undefined` between pieces of a long text, when the caller may pause;
 * throws after the last.
 */
export function* yamlDocuments(
  text: string,
  file: string,
  scalars: Scalars = "core",
): Generator<YamlDocument | undefined, void, undefined> {
  if (Buffer.byteLength(text) > maxDocumentBytes) {
    throw whole(file, `more than ${maxDocumentBytes} bytes: split the file`);
  }
  if (isUtf16(text)) throw whole(file, "is UTF-16: save it as UTF-8");
  try {
    for (const part of partsOf(text)) yield* documentsOf(part, file, scalars);
  } catch (error) {
    // The stack of the parser, which is recursive, is the limit.
    if (error instanceof RangeError) throw whole(file, "is nested too deeply: write it flatter");
    throw error;
  }
}

interface Part {
  readonly text: string;
  /** Where it begins: the lines before it, and the characters before it on its line. */
  readonly line: number;
  readonly column: number;
}

/**
 * JSON objects that follow each other without a separator, as kubectl reads and `jq` prints them; other texts
 * are one part.
 */
function partsOf(text: string): Part[] {
  const parts: Part[] = [];
  let depth = 0;
  let from = 0;
  if (/^\ufeff?\s*\{/.test(text)) {
    for (const { 0: token, index } of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]]/g)) {
      if (token === "{" || token === "[") depth += 1;
      else if (token === "}" || token === "]") depth -= 1;
      if (depth !== 0 || token.startsWith('"')) continue;
      const before = text.slice(0, from);
      const part = text.slice(from, index + 1);
      if (!isJson(part)) return [{ text, line: 0, column: 0 }];
      const line = before.split("\n").length - 1;
      parts.push({ text: part, line, column: before.length - before.lastIndexOf("\n") - 1 });
      from = index + 1;
    }
  }
  return parts.length > 1 && text.slice(from).trim() === "" ? parts : [{ text, line: 0, column: 0 }];
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The most characters that are read without a pause. */
const pieceLength = 16 * 1024;

function* documentsOf(
  { text, line, column }: Part,
  file: string,
  scalars: Scalars,
): Generator<YamlDocument | undefined, void, undefined> {
  const lines = new LineCounter();
  const placeOf = (offset: number) => {
    const at = lines.linePos(offset);
    return `${file}:${at.line + line}:${at.col + (at.line === 1 ? column : 0)}`;
  };
  const composer = new Composer({
    schema: scalars === "text" ? "failsafe" : "core",
    prettyErrors: false,
    stringKeys: true,
    resolveKnownTags: false,
    // As kubectl reads them.
    merge: true,
    // The check in faults.ts is linear, the library's is not.
    uniqueKeys: false,
  });
  const faults: Fault[] = [];
  for (const document of documentsIn(text, composer, new Parser(lines.addNewLine))) {
    if (document === undefined) {
      yield undefined;
      continue;
    }
    faults.push(...faultsOf(document, text));
    // Further documents would only show more of them.
    if (faults.length > maxProblems) break;
    if (faults.length > 0) continue;
    // Aliases have been counted.
    const value: unknown = document.toJS({ maxAliasCount: -1 });
    if (value === null || value === undefined) continue;
    yield { value, place: (path) => placeOf(offsetOf(document, path)) };
  }
  if (faults.length === 0) return;
  throw new DocumentError(
    faults.map(({ offset, message }) => ({ place: placeOf(offset), path: "", message })),
  );
}

function* documentsIn(
  text: string,
  composer: Composer,
  parser: Parser,
): Generator<Document.Parsed | undefined, void, undefined> {
  for (let from = 0; from < text.length; from += pieceLength) {
    const piece = text.slice(from, from + pieceLength);
    const isLast = from + pieceLength >= text.length;
    for (const token of parser.parse(piece, !isLast)) yield* composer.next(token);
    yield undefined;
  }
  yield* composer.end();
}

/** Read as UTF-8, its byte order mark is nothing, and of each Latin letter one byte is zero. */
function isUtf16(text: string): boolean {
  return /^(?:\ufffd\ufffd|\0[^\0]|[^\0]\0)/.test(text);
}

function whole(file: string, message: string): DocumentError {
  return new DocumentError([{ place: file, path: "", message }]);
}
