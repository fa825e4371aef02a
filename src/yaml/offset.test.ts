import { parseDocument } from "yaml";
import { describe, expect, it } from "vitest";
import { offsetOf } from "./offset.ts";

const text = `# A comment.
spec:
  consul: { service: web }
  list:
    - one
    - name: two
      7: seven
  shared: &shared
    inner: value
  alias: *shared
  empty:
`;

/** From where the place is to the end of its line. */
function at(...path: readonly PropertyKey[]): string {
  return text.slice(offsetOf(parseDocument(text, { stringKeys: true }), path)).replace(/\n.*/s, "");
}

describe("the place of a path", () => {
  it.each([
    ["a key", ["spec"], "spec:"],
    ["a key in a flow map", ["spec", "consul", "service"], "service: web }"],
    ["an item of a list", ["spec", "list", 0], "one"],
    ["a key in an item", ["spec", "list", 1, "name"], "name: two"],
    ["a key that is a number", ["spec", "list", 1, 7], "7: seven"],
    ["a key behind an alias, where it is written", ["spec", "alias", "inner"], "inner: value"],
    ["the map around a key that is missing", ["spec", "consul", "dc"], "consul: { service: web }"],
    ["the list around an item that is missing", ["spec", "list", 9], "list:"],
    ["the key whose value is no map", ["spec", "list", 0, "x", "y"], "one"],
    ["the key that has no value", ["spec", "empty", "x"], "empty:"],
    ["the whole, behind its comment", [], "spec:"],
    ["the whole, for a key that is not there", ["status"], "spec:"],
  ])("is %s", (_, path, line) => {
    expect(at(...path)).toBe(line);
  });

  it("is the beginning of a text without content", () => {
    expect(offsetOf(parseDocument("# Nothing.\n"), ["a"])).toBe(0);
  });
});
