import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { anyText } from "../../../test/fixtures/any-text.ts";
import { cases } from "../../../test/fixtures/cases.ts";
import { writeYaml } from "./write.ts";

describe("YAML as it is written", () => {
  it("is in blocks, with quotes where they are needed", () => {
    const data = {
      kind: "Secret",
      metadata: { name: "web", labels: {}, uid: undefined, generation: 3, "a: b": "on" },
      roots: [{ state: "active", at: "2026-01-01T00:00:00.000Z" }, "two\nlines"],
      none: [],
      nothing: null,
    };
    expect(writeYaml(data)).toBe(`kind: Secret
metadata:
  name: web
  labels: {}
  generation: 3
  "a: b": "on"
roots:
  - state: active
    at: "2026-01-01T00:00:00.000Z"
  - "two\\nlines"
none: []
nothing: null
`);
  });

  it("says the same to readers of YAML 1.1 and 1.2, whatever the text", { tags: ["search"] }, () => {
    const words = fc.constantFrom(
      "~",
      "012",
      "0o14",
      "1_000",
      "1e3",
      "1:20",
      ".inf",
      "=",
      "<<",
      "Off",
      "\u2028",
      "\u0085",
    );
    const wellFormed = anyText().map((text) => text.toWellFormed());
    const text = fc.oneof(words, wellFormed, fc.string({ unit: "grapheme" }));
    const value = fc.letrec((tie) => ({
      any: fc.oneof({ maxDepth: 3 }, text, fc.integer(), fc.boolean(), tie("list"), tie("map")),
      list: fc.array(tie("any"), { maxLength: 3 }),
      map: fc.dictionary(
        text.filter((key) => key !== "__proto__" && key !== "<<"),
        tie("any"),
        { maxKeys: 3 },
      ),
    }));
    fc.assert(
      fc.property(value.any, (any) => {
        const data = { any };
        const text = writeYaml(data);
        expect(parse(text)).toEqual(data);
        expect(parse(text, { version: "1.1" })).toEqual(data);
      }),
      { numRuns: cases(50, 2_000) },
    );
  });
});
