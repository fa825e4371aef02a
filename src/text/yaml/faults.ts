import {
  type Alias,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  type YAMLMap,
  type YAMLParseError,
  type YAMLSeq,
} from "yaml";
import { maxProblems } from "./document-error.ts";

/** A YAML fault and its place. */
export interface Fault {
  readonly offset: number;
  readonly message: string;
}

/**
 * What is wrong with a document of `text`, in its order: {@link maxProblems} and one more at most of each
 * sort.
 */
export function faultsOf(document: Document.Parsed, text: string): Fault[] {
  const said = [...document.errors.slice(0, most), ...document.warnings.slice(0, most)];
  // The parser reports one fault in the syntax many times; the first report is where it is.
  const [tooDeep] = said.filter(({ code }) => code === "RESOURCE_EXHAUSTION");
  if (tooDeep !== undefined) {
    return [{ offset: tooDeep.pos[0], message: "is nested too deeply: write it flatter" }];
  }
  const faults = [...versionFaults(document), ...said.map((one) => inOurWords(one, text))];
  return [...faults, ...nodeFaults(document)].sort((one, other) => one.offset - other.offset);
}

const most = maxProblems + 1;

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

/**
 * How many nodes all aliases of a document may stand for: a "billion laughs" is refused, whether copied or
 * merged.
 */
const maxAliasedNodes = 5_000;

function nodeFaults(document: Document.Parsed): Fault[] {
  const walk = new NodeWalk();
  walk.weightOf(document.contents);
  return walk.faults;
}

/**
 * One pass over the nodes in the order of the text, in which an alias stands for the last anchor before it.
 */
class NodeWalk {
  readonly faults: Fault[] = [];
  /** Anchored nodes, and of how many nodes each consists; `undefined` within the node itself. */
  readonly #anchors = new Map<string, Anchor>();
  #aliased = 0;

  /** How many nodes `node` stands for, itself included. */
  weightOf(node: unknown): number {
    if (isAlias(node)) return this.#followed(node);
    if (!isNode(node)) return 0;
    const anchor: Anchor = { node };
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, anchor);
    anchor.weight = isCollection(node) ? 1 + this.#weightWithin(node) : 1;
    return anchor.weight;
  }

  #weightWithin(node: YAMLMap | YAMLSeq): number {
    if (isSeq(node)) return node.items.reduce<number>((sum, item) => sum + this.weightOf(item), 0);
    const known = new Set<string>();
    let weight = 0;
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : "";
      if (known.has(name)) this.#refuse(key, "this key stands here twice: keep one of them");
      known.add(name);
      weight += this.weightOf(key) + this.weightOf(value);
      if (isMergeKey(key) && !this.#isMergeable(value))
        this.#refuse(value, "what is merged by << must be a mapping, or a list of mappings");
    }
    return weight;
  }

  #followed(alias: Alias): number {
    const anchor = this.#anchors.get(alias.source);
    if (anchor === undefined)
      this.#refuse(alias, 'an alias of nothing: put text that begins with "*" in quotes');
    else if (anchor.weight === undefined)
      this.#refuse(alias, "an alias of what it stands in: write the values out");
    const { weight = 0 } = anchor ?? {};
    const before = this.#aliased;
    this.#aliased += weight;
    if (this.#aliased > maxAliasedNodes && before <= maxAliasedNodes)
      this.#refuse(alias, "aliases of aliases that multiply: write the values out");
    return weight;
  }

  #isMergeable(value: unknown): boolean {
    const target = this.#targetOf(value);
    return isSeq(target) ? target.items.every((item) => isMap(this.#targetOf(item))) : isMap(target);
  }

  #targetOf(node: unknown): unknown {
    return isAlias(node) ? this.#anchors.get(node.source)?.node : node;
  }

  #refuse(node: unknown, message: string): void {
    if (this.faults.length < most) this.faults.push({ offset: startOf(node), message });
  }
}

interface Anchor {
  readonly node: unknown;
  weight?: number;
}

function isMergeKey(key: unknown): boolean {
  return isScalar(key) && key.value === "<<" && key.type === "PLAIN";
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
