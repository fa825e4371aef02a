import { Composer, CST, type Document, Lexer, LineCounter, Parser } from "yaml";
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
export function parseYaml(text: string, file: string, reading?: Reading): YamlDocument[] {
  return [...yamlDocuments(text, file, reading)].filter((document) => document !== undefined);
}

interface Reading {
  readonly scalars?: Scalars;
  readonly maxTokens?: number;
  /** In characters: a text of many lines is folded without a pause. */
  readonly maxScalarLength?: number;
}

/**
 * How many tokens a document may have that is read while attaché runs: it is composed without a pause. A
 * list of 250 MeshCertificates has as many.
 */
export const maxDocumentTokens = 20_000;

/**
 * As {@link parseYaml}, one by one, and `undefined` between pieces of a long text, when the caller may pause;
 * throws after the last.
 */
export function* yamlDocuments(
  text: string,
  file: string,
  { scalars = "core", maxTokens = maxDocumentTokens, maxScalarLength = Infinity }: Reading = {},
): Generator<YamlDocument | undefined, void, undefined> {
  if (Buffer.byteLength(text) > maxDocumentBytes) {
    throw whole(file, `more than ${maxDocumentBytes} bytes: split the file`);
  }
  if (isUtf16(text)) throw whole(file, "is UTF-16: save it as UTF-8");
  try {
    for (const part of partsOf(text)) yield* documentsOf(part, file, { scalars, maxTokens, maxScalarLength });
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

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The most tokens that are read without a pause. */
const tokensInPiece = 1_000;

function* documentsOf(
  { text, line, column }: Part,
  file: string,
  { scalars, ...limits }: Required<Reading>,
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
  for (const document of documentsIn(text, composer, lines.addNewLine, limits)) {
    if (document === undefined) {
      yield undefined;
      continue;
    }
    if ("offset" in document) {
      const { offset, message } = document;
      throw new DocumentError([{ place: placeOf(offset), path: "", message }]);
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
  onNewLine: (offset: number) => void,
  { maxTokens, maxScalarLength }: Omit<Required<Reading>, "scalars">,
): Generator<Document.Parsed | Fault | undefined, void, undefined> {
  const [lexer, parser] = [new Lexer(), new Parser(onNewLine)];
  onNewLine(0);
  let [offset, begin, count, unpaused] = [0, 0, 0, 0];
  for (const lexeme of lexer.lex(text)) {
    if (lexeme.length > maxScalarLength)
      yield { offset, message: `a text of more than ${maxScalarLength} characters: no field takes one` };
    for (const token of parser.next(lexeme)) {
      yield* composer.next(token);
      if (token.type === "document") [begin, count] = [offset, 0];
    }
    if (!marks.has(lexeme)) offset += lexeme.length;
    count += 1;
    if (count > maxTokens)
      yield {
        offset: begin,
        message: `a document of more than ${maxTokens} tokens: split it, with "---" between the parts`,
      };
    // Not by document: a text may be thousands of empty ones.
    unpaused = (unpaused + 1) % tokensInPiece;
    if (unpaused === 0) yield undefined;
  }
  for (const token of parser.end()) yield* composer.next(token);
  yield* composer.end();
}

/** The lexer's own, which stand for no text. */
const marks: ReadonlySet<string> = new Set([CST.DOCUMENT, CST.FLOW_END, CST.SCALAR]);

/** Read as UTF-8, its byte order mark is nothing, and of each Latin letter one byte is zero. */
function isUtf16(text: string): boolean {
  return /^(?:\ufffd\ufffd|\0[^\0]|[^\0]\0)/.test(text);
}

function whole(file: string, message: string): DocumentError {
  return new DocumentError([{ place: file, path: "", message }]);
}
