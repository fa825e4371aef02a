import { parseAllDocuments } from "yaml";
import { describe, expect, it } from "vitest";
import { faultsOf } from "./faults.ts";

/** `LINE:COLUMN message` for each fault, as a reader of the text counts. */
function faults(text: string): string[] {
  const documents = parseAllDocuments(text, { prettyErrors: false, stringKeys: true, uniqueKeys: false });
  if ("empty" in documents) return [];
  return documents
    .flatMap((document) => faultsOf(document, text))
    .map(({ offset, message }) => {
      const before = text.slice(0, offset).split("\n");
      return `${before.length}:${(before.at(-1)?.length ?? 0) + 1} ${message}`;
    });
}

const tab = "a tab: YAML is indented with spaces only";
const twice = "this key stands here twice: keep one of them";
const alias = 'an alias of nothing: put text that begins with "*" in quotes';

describe("what is wrong with a text as YAML", () => {
  it.each([
    ["nothing", "a: 1\nb: { c: [d, e] }\n", []],
    ["a tab before a key", "a:\n\tb: 1\n", [`2:1 ${tab}`]],
    ["a tab behind spaces", "a:\n  \tb: 1\n", [`2:3 ${tab}`]],
    ["no tab, but one in a value", 'a: "x\\ty"\nb: x\ty\n', []],
    ["a key twice", "a: 1\nb: 2\na: 3\n", [`3:1 ${twice}`]],
    ["a key three times", "a: 1\na: 2\na: 3\n", [`2:1 ${twice}`, `3:1 ${twice}`]],
    ["a key twice deep inside", "a: [{ b: 1, b: 2 }]\n", [`1:13 ${twice}`]],
    ["no key twice in different maps", "a: { c: 1 }\nb: { c: 2 }\n", []],
    ["a key that reads like another", '1: a\n"1": b\n', [`2:1 ${twice}`]],
    ["a key that is a list", "? [a]\n: b\n", ["1:3 a key must be plain text"]],
    ["an alias of nothing", "a: *.example.com\n", [`1:4 ${alias}`]],
    ["an alias before its anchor", "a: *x\nb: &x 1\n", [`1:4 ${alias}`]],
    ["no alias of something", "a: &x 1\nb: *x\n", []],
    ["an old version", "%YAML 1.1\n---\na: yes\n", ["2:1 YAML 1.1: write 1.2, without the directive"]],
    ["no version of today", "%YAML 1.2\n---\na: yes\n", []],
    ["a tag", "a: !secret b\n", ["1:4 a tag has no meaning here: leave it out"]],
    ["an end that does not come", "a: [b\n", ["2:1 Flow sequence in block collection must be sufficiently"]],
  ])("is %s", (_, text, expected) => {
    const found = faults(text);
    expect(found).toHaveLength(expected.length);
    for (const [index, start] of expected.entries()) expect(found[index]).toContain(start);
  });

  it("is told in the order of the text, whoever found it, and for each document", () => {
    expect(faults("a: 1\na: 2\nb: *c\n---\nd: !e f\n")).toEqual([
      `2:1 ${twice}`,
      `3:4 ${alias}`,
      "5:4 a tag has no meaning here: leave it out",
    ]);
  });

  it("is one fault where nesting has no end, however many the parser tells", () => {
    expect(faults(`a: ${"[".repeat(10_000)}`).map((fault) => fault.replace(/^\S+ /, ""))).toEqual([
      "is nested too deeply: write it flatter",
    ]);
  });

  it("is more aliases than anybody writes, told once", () => {
    const text = (count: number) => `a: &x 1\nb: [${Array.from({ length: count }, () => "*x").join(", ")}]\n`;
    expect(faults(text(100))).toEqual([]);
    expect(faults(text(300))).toEqual(["2:405 more than 100 aliases: write the values out"]);
  });

  it("takes no endless time to find in a map of many keys", () => {
    const keys = Array.from({ length: 50_000 }, (_, index) => `k${index}: 1`).join("\n");
    expect(faults(`${keys}\nk0: 1\n`)).toEqual([`50001:1 ${twice}`]);
  });
});
