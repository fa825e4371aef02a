import { UsageError } from "./errors.ts";

/** A template that is ready to print: `-o jsonpath='{.items[*].metadata.name}'`. */
export type JsonPath = (data: unknown) => string;

type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "path"; readonly path: Path }
  | { readonly kind: "range"; readonly path: Path; readonly body: readonly Node[] };

/** Finds values from the present one, or from the root. */
type Path = (at: unknown, root: unknown) => readonly unknown[];
type Step = Path;

/**
 * The templates of kubectl (https://kubernetes.io/docs/reference/kubectl/jsonpath/): text, `{PATH}`,
 * `{"text"}`, `{range PATH}…{end}`. In a path: `.name`, `['name']`, `.*`, `..`, indices, slices, lists of
 * these, and filters with one comparison. A path that leads nowhere prints nothing.
 * @throws UsageError for what is not among these
 */
export function jsonPath(template: string): JsonPath {
  const parser = new Parser(template);
  const nodes = parser.nodes();
  parser.mustEnd();
  return (data) => printed(nodes, data, data);
}

function printed(nodes: readonly Node[], at: unknown, root: unknown): string {
  const texts = nodes.map((node) => {
    if (node.kind === "text") return node.text;
    const values = node.path(at, root);
    if (node.kind === "path") return values.map(textOf).join(" ");
    return values.map((value) => printed(node.body, value, root)).join("");
  });
  return texts.join("");
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Until the end of the text or of a range. */
  nodes(): Node[] {
    const nodes: Node[] = [];
    for (;;) {
      const text = this.#take(/[^{]+/y);
      if (text !== undefined) nodes.push({ kind: "text", text });
      if (this.#take(/\{\s*end\s*\}/y, false) !== undefined) return nodes;
      if (this.#take(/\{\s*/y) === undefined) return nodes;
      nodes.push(this.#action());
    }
  }

  mustEnd(): void {
    if (this.#at < this.#text.length) this.#fail("{end} has no {range …}");
    if (!this.#text.includes("{")) this.#fail("it has no {…}");
  }

  #action(): Node {
    const literal = this.#literal();
    if (literal !== undefined) {
      this.#must(/\s*\}/y, "}");
      return { kind: "text", text: textOf(literal) };
    }
    const isRange = this.#take(/range\s+/y) !== undefined;
    const path = this.#path();
    this.#must(/\s*\}/y, "}");
    if (!isRange) return { kind: "path", path };
    const body = this.nodes();
    this.#must(/\{\s*end\s*\}/y, "{end}");
    return { kind: "range", path, body };
  }

  #path(): Path {
    const start = this.#take(/[$@]|(?=[.[])/y);
    if (start === undefined) this.#fail("a path begins with . or [");
    const steps: Step[] = [];
    for (let step = this.#step(); step !== undefined; step = this.#step()) steps.push(step);
    return (at, root) =>
      steps.reduce<readonly unknown[]>(
        (values, step) => values.flatMap((value) => step(value, root)),
        [start === "$" ? root : at],
      );
  }

  #step(): Step | undefined {
    if (this.#take(/\.\.(?=[^\s}])/y) !== undefined) {
      const next = this.#take(/(?=\[)/y) === undefined ? this.#named() : this.#step();
      return (at, root) => descendants(at).flatMap((one) => next?.(one, root) ?? []);
    }
    if (this.#take(/\.(?=\[)|\.(?=\s*\})/y) !== undefined) return (at) => [at];
    if (this.#take(/\./y) !== undefined) return this.#named();
    if (this.#take(/\[\?\(\s*/y) !== undefined) return this.#filter();
    if (this.#take(/\[\s*/y) === undefined) return undefined;
    const parts = [this.#part()];
    while (this.#take(/\s*,\s*/y) !== undefined) parts.push(this.#part());
    this.#must(/\s*\]/y, "]");
    return (at, root) => parts.flatMap((part) => part(at, root));
  }

  #named(): Step {
    if (this.#take(/\*/y) !== undefined) return childrenOf;
    const name = this.#take(/(?:\\.|[^\s\\{}[\]().,|=!<>'"*?@$:])+/y) ?? this.#fail("a name is missing");
    return member(name.replaceAll(/\\(.)/g, "$1"));
  }

  /** Of what stands in brackets. */
  #part(): Step {
    if (this.#take(/\*/y) !== undefined) return childrenOf;
    const slice = this.#take(/-?\d*:-?\d*(?::\d*)?/y);
    if (slice !== undefined) {
      const [from = "", to = "", step = ""] = slice.split(":");
      const bounds = [Number(from), to === "" ? undefined : Number(to)] as const;
      return (at) =>
        listOf(at)
          .slice(...bounds)
          .filter((_, index) => index % (Number(step) || 1) === 0);
    }
    const literal = this.#literal();
    if (typeof literal === "string") return member(literal);
    if (typeof literal !== "number") this.#fail("a name, a number, a slice or * is missing");
    return (at) => listOf(at).slice(literal).slice(0, 1);
  }

  #filter(): Step {
    const left = this.#operand();
    const operator = this.#take(/\s*(?:==|!=|<=|>=|<|>)\s*/y)?.trim();
    const right = operator === undefined ? undefined : this.#operand();
    this.#must(/\s*\)\s*\]/y, ")]");
    const compare = comparisons[operator ?? ""];
    return (at, root) =>
      listOf(at).filter((one) => {
        const [value] = left(one, root);
        if (right === undefined || compare === undefined) return value !== undefined;
        const [other] = right(one, root);
        return value !== undefined && other !== undefined && compare(value as string, other as string);
      });
  }

  #operand(): Path {
    const literal = this.#literal();
    return literal === undefined ? this.#path() : () => [literal];
  }

  #literal(): string | number | boolean | undefined {
    const quoted = this.#take(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'/y);
    if (quoted !== undefined) {
      return quoted.slice(1, -1).replaceAll(/\\(.)/g, (_, one: string) => escapes[one] ?? one);
    }
    const bare = this.#take(/-?\d+(?:\.\d+)?(?![\d:])|true\b|false\b/y);
    return bare === undefined ? undefined : (JSON.parse(bare) as number | boolean);
  }

  #must(what: RegExp, name: string): void {
    if (this.#take(what) === undefined) this.#fail(`${name} is missing`);
  }

  /** What stands here, if it fits. @param moves whether to go on after it. */
  #take(what: RegExp, moves = true): string | undefined {
    what.lastIndex = this.#at;
    const found = what.exec(this.#text)?.[0];
    if (moves) this.#at += found?.length ?? 0;
    return found;
  }

  #fail(problem: string): never {
    const rest = this.#text.slice(this.#at, this.#at + 20);
    const place = rest === "" ? "at its end" : `before ${JSON.stringify(rest)}`;
    throw new UsageError(`-o jsonpath: ${problem}, ${place}`, {
      remedy: `Write e.g. -o jsonpath='{range .items[*]}{.metadata.name}{"\\n"}{end}', or take -o json for a program.`,
    });
  }
}

const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };

const comparisons: Readonly<Record<string, (one: string, other: string) => boolean>> = {
  "==": (one, other) => one === other,
  "!=": (one, other) => one !== other,
  "<": (one, other) => one < other,
  "<=": (one, other) => one <= other,
  ">": (one, other) => one > other,
  ">=": (one, other) => one >= other,
};

function member(name: string): Step {
  return (at) =>
    typeof at === "object" && at !== null && Object.hasOwn(at, name)
      ? [(at as Readonly<Record<string, unknown>>)[name]].filter((value) => value != null)
      : [];
}

function childrenOf(at: unknown): readonly unknown[] {
  return typeof at === "object" && at !== null ? Object.values(at) : [];
}

function listOf(at: unknown): readonly unknown[] {
  return Array.isArray(at) ? at : [];
}

function descendants(at: unknown): readonly unknown[] {
  return [at, ...childrenOf(at).flatMap(descendants)];
}
