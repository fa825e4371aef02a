import { Composer, type Document, LineCounter, Parser } from "yaml";
import { DocumentError } from "./document-error.ts";
import { type Fault, faultsOf, maxAliases, offsetOf } from "./faults.ts";

/** What a file of settings or of MeshCertificates is at most. */
const maxDocumentBytes = 1024 * 1024;

/** A parsed YAML document that knows where its parts stand. */
export interface YamlDocument {
  readonly value: unknown;
  /** `FILE:LINE:COLUMN` of the key or item at `path`, or of the nearest thing around it. */
  readonly place: (path: readonly PropertyKey[]) => string;
}

/**
 * The documents of a YAML 1.2 text (core schema); empty ones are left out. Keys are text, and unique in their map.
 * @throws DocumentError naming each place where it is not YAML, or exceeds what people write.
 */
export function parseYaml(text: string, file: string): YamlDocument[] {
  return [...yamlDocuments(text, file)];
}

/** As {@link parseYaml}, one by one, as each takes its time; throws after the last. */
export function* yamlDocuments(text: string, file: string): Generator<YamlDocument, void, undefined> {
  if (Buffer.byteLength(text) > maxDocumentBytes) {
    throw whole(file, `more than ${maxDocumentBytes} bytes: split the file`);
  }
  try {
    yield* documentsOf(text, file);
  } catch (error) {
    // The stack of the parser, which is recursive, is the limit.
    if (error instanceof RangeError) throw whole(file, "is nested too deeply: write it flatter");
    throw error;
  }
}

function* documentsOf(text: string, file: string): Generator<YamlDocument, void, undefined> {
  const lines = new LineCounter();
  const placeOf = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const composer = new Composer({
    prettyErrors: false,
    stringKeys: true,
    resolveKnownTags: false,
    // Ours is linear, the library's is not.
    uniqueKeys: false,
  });
  const faults: Fault[] = [];
  for (const document of composer.compose(new Parser(lines.addNewLine).parse(text))) {
    faults.push(...faultsOf(document, text));
    if (faults.length > 0) continue;
    const value = valueOf(document, file);
    if (value === null || value === undefined) continue;
    yield { value, place: (path) => placeOf(offsetOf(document, path)) };
  }
  if (faults.length === 0) return;
  throw new DocumentError(
    faults.map(({ offset, message }) => ({ place: placeOf(offset), path: "", message })),
  );
}

function valueOf(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: maxAliases });
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    throw whole(file, "aliases of aliases that multiply: write the values out");
  }
}

function whole(file: string, message: string): DocumentError {
  return new DocumentError([{ place: file, path: "", message }]);
}
