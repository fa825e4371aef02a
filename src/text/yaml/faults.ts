import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  visit,
  type YAMLMap,
  type YAMLParseError,
  isCollection,
  isPair,
} from "yaml";

/** More than people write by hand; what they stand for may be as many again (a "billion laughs" is refused). */
export const maxAliases = 100;

/** What is wrong with a text as YAML, and where. */
export interface Fault {
  readonly offset: number;
  readonly message: string;
}

/** Everything that is wrong with a document of `text`, in its order. */
export function faultsOf(document: Document.Parsed, text: string): Fault[] {
  const said = [...document.errors, ...document.warnings];
  // The parser reports one fault in the syntax many times; the first report is where it is.
  const [tooDeep] = said.filter(({ code }) => code === "RESOURCE_EXHAUSTION");
  if (tooDeep !== undefined) {
    return [{ offset: tooDeep.pos[0], message: "is nested too deeply: write it flatter" }];
  }
  const faults = [...versionFaults(document), ...said.map((one) => inOurWords(one, text))];
  return [...faults, ...nodeFaults(document)].sort((one, other) => one.offset - other.offset);
}

/** In 1.1 `yes` is a boolean and `010` is eight: no author expects that today. */
function versionFaults({ directives, range: [offset] }: Document.Parsed): Fault[] {
  const { version } = directives.yaml;
  return version === "1.2" ? [] : [{ offset, message: `YAML ${version}: write 1.2, without the directive` }];
}

function inOurWords(
  { code, message, pos: [offset] }: Pick<YAMLParseError, "code" | "message" | "pos">,
  text: string,
): Fault {
  const indent = /^[ \t]*/.exec(text.slice(text.lastIndexOf("\n", offset - 1) + 1))?.[0] ?? "";
  if (indent.includes("\t")) return { offset, message: "a tab: YAML is indented with spaces only" };
  return { offset, message: hints[code] ?? message };
}

/** Where the parser's own words do not say what to do. */
const hints: Readonly<Record<string, string>> = {
  TAG_RESOLVE_FAILED: "a tag has no meaning here: leave it out",
  NON_STRING_KEY: "a key must be plain text",
};

function nodeFaults(document: Document.Parsed): Fault[] {
  const faults: Fault[] = [];
  const anchors = new Set<string>();
  let aliases = 0;
  visit(document, (_, node) => {
    if (isAlias(node)) {
      aliases += 1;
      if (!anchors.has(node.source)) {
        faults.push({
          offset: startOf(node),
          message: 'an alias of nothing: put text that begins with "*" in quotes',
        });
      } else if (aliases === maxAliases + 1) {
        faults.push({
          offset: startOf(node),
          message: `more than ${maxAliases} aliases: write the values out`,
        });
      }
    } else if (isNode(node) && node.anchor !== undefined) anchors.add(node.anchor);
    if (isMap(node)) faults.push(...repeatedKeys(node));
  });
  return faults;
}

function repeatedKeys({ items }: YAMLMap): Fault[] {
  const known = new Set<string>();
  return items.flatMap(({ key }) => {
    const name = isScalar(key) ? String(key.value) : "";
    if (!known.has(name)) {
      known.add(name);
      return [];
    }
    return [{ offset: startOf(key), message: "this key stands here twice: keep one of them" }];
  });
}

/** Where in the text the key or item at `path` begins, or the nearest thing around it. */
export function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents;
  let offset = startOf(node);
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (!isCollection(node)) break;
    const item = isMap(node)
      ? node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part))
      : node.items[Number(part)];
    if (item === undefined) break;
    offset = startOf(isPair(item) ? item.key : item, offset);
    node = isPair(item) ? item.value : item;
  }
  return offset;
}

function startOf(node: unknown, otherwise = 0): number {
  return isNode(node) ? (node.range?.[0] ?? otherwise) : otherwise;
}
