import { describe, expect, it } from "vitest";
import { HclError, parseHcl } from "./hcl.ts";

describe("HCL", () => {
  it.each([
    ['a = "x" // one\nb = 0644 # two\n/* three */ c = true', { a: "x", b: "0644", c: true }],
    ['a = [{b="c", d=["e", "f"]}, "g",]', { a: [{ b: "c", d: ["e", "f"] }, "g"] }],
    ['a {\n b = "c"\n}\na { b = "d" }', { a: [{ b: "c" }, { b: "d" }] }],
    ['a "label" { b { c = false } }', { a: { b: { c: false } } }],
    ['a = "\\"q\\" \\n \\\\"', { a: '"q" \n \\' }],
    ["a = <<EOH\nx\n y\nEOH\nb = <<-E\n  z\n  E\n", { a: "x\n y\n", b: "  z\n" }],
    ['"a": "b",', { a: "b" }],
    ['{"a": {"b": ["c"]}, "d": true}', { a: { b: ["c"] }, d: true }],
    ["", {}],
  ])("%j is read", (text, fields) => {
    expect(parseHcl(text)).toEqual(fields);
  });

  it.each([
    ["a = ", 1],
    ["\na = [", 2],
    ["= 1", 1],
    ["a {", 1],
    ["a = <<E\nx", 1],
    ["}", 1],
    ['{"a": "b"} c', 1],
    ['a = "x', 1],
    ["a = {".repeat(40), 1],
    [`a = ${"[".repeat(40)}`, 1],
  ])("%j is refused with its line", (text, line) => {
    expect(() => parseHcl(text)).toThrow(new HclError(`line ${line} is not HCL`));
  });

  it.each(["/*", "a = <<E\n", "a = 1\n", '"a" ', "{", "\0"])("of a megabyte of %j is judged", (part) => {
    const text = part.repeat((1024 * 1024) / part.length);
    if (part === "a = 1\n") expect(parseHcl(text)["a"]).toHaveLength(Math.floor(text.length / part.length));
    else expect(() => parseHcl(text)).toThrow(HclError);
  });
});
