import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { cases } from "../../test/fixtures/cases.ts";
import type { ApiObject } from "./object.ts";
import { maxMemberBytes, skim } from "./skim.ts";
import { watchEvents } from "./watch-events.ts";

const large = { labels: "x".repeat(maxMemberBytes) };
const awkward = fc.constantFrom('"', "\\", '\\"', "\\\\", "{", "}", "[", "]", ",", ":", "\n", "é", "\ud800");
const text = fc.string({ unit: fc.oneof(awkward, fc.string({ maxLength: 3 })) });

describe("a long event", () => {
  it("is the same without the large members of the object's parts, whatever stands beside them", () => {
    const value = fc.anything({ key: text, values: [text, fc.integer(), fc.boolean(), fc.constant(null)] });
    fc.assert(
      fc.property(
        fc.dictionary(text, value),
        value,
        fc.constantFrom(undefined, 2),
        (members, other, indent) => {
          const clean = JSON.parse(JSON.stringify({ members, other: other ?? null })) as {
            members: object;
            other: unknown;
          };
          const rest = { name: "web", ...clean.members };
          const event = (metadata: object) => ({
            ...{ type: "ADDED", other: clean.other },
            object: { metadata, spec: clean.other },
          });
          const skimmed = skim(Buffer.from(JSON.stringify(event({ ...rest, ...large }), undefined, indent)));
          const { labels: _, ...expected } = { labels: undefined, ...rest };
          expect(JSON.parse(skimmed.json)).toEqual(event(expected));
          expect(skimmed.isCut).toBe(true);
        },
      ),
      { numRuns: cases(50, 1_000) },
    );
  });

  it("of many small members is kept whole", () => {
    const spec = Object.fromEntries(Array.from({ length: 60_000 }, (_, at) => [`member-${at}`, at]));
    const event = { type: "ADDED", object: { metadata: {}, spec } };
    const { json, isCut } = skim(Buffer.from(JSON.stringify(event)));
    expect(JSON.parse(json)).toEqual(event);
    expect(isCut).toBe(false);
  });

  it.each([
    "",
    "{",
    '{"type',
    `{"type":"${"x".repeat(maxMemberBytes)}`,
    `[${"[".repeat(maxMemberBytes)}`,
    `{"a":1}}${" ".repeat(maxMemberBytes)}`,
  ])("that is no JSON stays none", (json) => {
    expect(() => JSON.parse(skim(Buffer.from(json)).json) as unknown).toThrow(SyntaxError);
  });

  it("reaches a watch with a mark, and what is cut is never parsed", async () => {
    const parse = vi.spyOn(JSON, "parse");
    const object = { metadata: { name: "web", annotations: { a: "b" }, ...large }, spec: { consul: {} } };
    const events: ApiObject[] = [];
    const line = Buffer.from(`${JSON.stringify({ type: "ADDED", object })}\n`);
    const { signal } = new AbortController();
    const chunks = (async function* () {
      yield await Promise.resolve(line);
    })();
    for await (const event of watchEvents<ApiObject>(chunks, { method: "GET", path: "/x" }, signal))
      events.push(event.object);
    const { labels: _, ...metadata } = object.metadata;
    expect(events).toEqual([{ ...object, metadata, isCut: true }]);
    expect(Math.max(...parse.mock.calls.map(([json]) => json.length))).toBeLessThan(1_000);
    parse.mockRestore();
  });
});
