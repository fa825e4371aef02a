import {
  isCollection,
  isMap,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  parseAllDocuments,
  type Document,
} from "yaml";
import { DocumentError } from "./document-error.ts";

/** What a file of settings or of MeshIdentities is at most, in characters. */
export const maxDocumentLength = 1024 * 1024;

/** A parsed YAML document that knows where its parts stand. */
export interface YamlDocument {
  readonly value: unknown;
  /** `FILE:LINE:COLUMN` of what stands at `path`, or of the nearest thing around it. */
  readonly place: (path: readonly PropertyKey[]) => string;
}

/**
 * The documents of a YAML 1.2 text; empty ones are left out. Keys must be unique, and aliases are bounded.
 * @throws DocumentError naming each place where it is not YAML.
 */
export function parseYaml(text: string, file: string): YamlDocument[] {
  if (text.length > maxDocumentLength) {
    const message = `${text.length} characters, more than ${maxDocumentLength}: split the file`;
    throw new DocumentError([{ place: file, path: "", message }]);
  }
  const lineCounter = new LineCounter();
  const placeOf = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const documents = parseAllDocuments(text, { lineCounter, prettyErrors: false, uniqueKeys: true });
  if (!Array.isArray(documents)) return [];
  const problems = documents.flatMap(({ errors }) =>
    errors.map(({ pos: [offset], code, message }) => ({
      place: placeOf(offset),
      path: "",
      message: hints[code] ?? message,
    })),
  );
  if (problems.length > 0) throw new DocumentError(problems);
  return documents
    .filter(({ contents }) => contents !== null && !(isScalar(contents) && contents.value === null))
    .map((document) => ({
      value: valueOf(document, file),
      place: (path) => placeOf(offsetOf(document, path)),
    }));
}

/** Where the parser's own words do not say what to do. */
const hints: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: "a tab: YAML is indented with spaces only",
  DUPLICATE_KEY: "this key stands here twice: keep one of them",
};

function valueOf(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new DocumentError([{ place: file, path: "", message: `${message}: write the values out` }]);
  }
}

/** For a key that should not be there the key itself, else the value. */
function offsetOf({ contents }: Document, path: readonly PropertyKey[]): number {
  let node: unknown = contents;
  let offset = startOf(node) ?? 0;
  for (const part of path) {
    if (!isCollection(node)) break;
    const item = isMap(node)
      ? node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(part))
      : node.items[Number(part)];
    if (item === undefined) break;
    offset = startOf(isPair(item) ? item.key : item) ?? offset;
    node = isPair(item) ? item.value : item;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null)?.range?.[0];
}
