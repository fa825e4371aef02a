import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cases } from "../../test/fixtures/cases.ts";
import { CredentialError } from "./errors.ts";
import {
  covers,
  escapeSegment,
  isSameSpiffeId,
  parseSpiffeIdPattern,
  readEscapedId,
  readExpectedId,
  readSpiffeId,
} from "./spiffe-id.ts";

describe("a SPIFFE ID", () => {
  it.each([
    ["spiffe://example.org", "example.org", ""],
    ["spiffe://example.org/edge", "example.org", "/edge"],
    ["spiffe://cluster.local/ns/emissary/sa/edge-mesh", "cluster.local", "/ns/emissary/sa/edge-mesh"],
    ["spiffe://0a1b-2c.consul/ns/default/dc/dc1/svc/web", "0a1b-2c.consul", "/ns/default/dc/dc1/svc/web"],
    ["spiffe://Prod.Example/edge", "Prod.Example", "/edge"],
    ["spiffe://a_b/A.b-c_D/...", "a_b", "/A.b-c_D/..."],
    [`spiffe://${"t".repeat(255)}/${"p".repeat(2048 - 265)}`, "t".repeat(255), `/${"p".repeat(2048 - 265)}`],
  ])("is read: %.60s", (text, trustDomain, path) => {
    expect(readSpiffeId(text)).toEqual({ trustDomain, path });
    expect(readEscapedId(text)).toEqual({ trustDomain, path });
  });

  it.each([
    "",
    "example.org/edge",
    "https://example.org/edge",
    "SPIFFE://example.org/edge",
    "spiffe:/example.org/edge",
    "spiffe:///edge",
    "spiffe://example.org:8443/edge",
    "spiffe://user@example.org/edge",
    "spiffe://example.org/",
    "spiffe://example.org/edge/",
    "spiffe://example.org//edge",
    "spiffe://example.org/./edge",
    "spiffe://example.org/a/../edge",
    "spiffe://example.org/ed%67e",
    "spiffe://example.org/edge?a=b",
    "spiffe://example.org/edge#a",
    "spiffe://example.org/é",
    "spiffe://example.org/edge\n",
    " spiffe://example.org/edge",
    "spiffe://example.org/*",
    `spiffe://${"t".repeat(256)}/edge`,
    `spiffe://example.org/${"p".repeat(2048)}`,
  ])("is not %j", (text) => {
    expect(readSpiffeId(text)).toBeUndefined();
  });
});

describe("the escaped name of a Consul service", () => {
  const stem = "spiffe://example.org/ns/default/dc/dc1/svc";

  it.each([
    ["web_1.A-b", "web_1.A-b"],
    ["web app", "web%20app"],
    ["100%", "100%25"],
    ["wäb/e\u0301", "w%C3%A4b%2Fe%CC%81"],
    ["!*'()[]", "%21%2A%27%28%29%5B%5D"],
    ["~$&+,:;=@", "~$&+,:;=@"],
    ["a?b#c\\", "a%3Fb%23c%5C"],
    ["\0\n", "%00%0A"],
    ["..", ".."],
  ])("of %j is %s, as Go's url.URL has it", (name, escaped) => {
    expect(escapeSegment(name)).toBe(escaped);
    expect(readEscapedId(`${stem}/${escaped}`)?.path).toBe(`/ns/default/dc/dc1/svc/${escaped}`);
  });

  it.each(["a b", "a%2", "a%zz", "a%c3", "a?b", "a#b", "a!", "é", "", `a${"%20".repeat(5_500)}`])(
    "is not %.40s",
    (name) => {
      expect(readEscapedId(`${stem}/${name}`)).toBeUndefined();
    },
  );

  it.each(["web%20app", "~web", "..", "a%2Fb", "%77eb"])("is read as %s if just that is expected", (name) => {
    const uri = `${stem}/${name}`;
    const [trustDomain, path] = ["example.org", `/ns/default/dc/dc1/svc/${name}`];
    const pattern = (last: string) => parseSpiffeIdPattern(`spiffe://*/ns/default/dc/*/svc/${last}`);
    expect(readExpectedId(uri, uri)).toEqual({ trustDomain, path });
    expect(readExpectedId(uri, pattern(name))).toEqual({ trustDomain, path });
    for (const other of [undefined, pattern("*"), pattern(`${name}*`), pattern("web"), /svc/]) {
      expect(readExpectedId(uri, other)).toBeUndefined();
    }
    expect(readExpectedId(uri, parseSpiffeIdPattern("spiffe://**"))).toBeUndefined();
  });
});

it("two SPIFFE IDs are the same if their trust domains differ in case only", () => {
  expect(isSameSpiffeId("spiffe://Prod.Example/Edge", "spiffe://prod.example/Edge")).toBe(true);
  expect(isSameSpiffeId("spiffe://prod.example/Edge", "spiffe://prod.example/edge")).toBe(false);
});

describe("a pattern of SPIFFE IDs", () => {
  it.each([
    ["spiffe://example.org/edge", "spiffe://example.org/edge"],
    ["spiffe://example.org/*", "spiffe://example.org/edge"],
    ["spiffe://Prod.Example/*", "spiffe://prod.example/edge"],
    ["spiffe://prod.*/edge", "spiffe://Prod.Example/edge"],
    ["spiffe://example.org/ns/*/sa/edge-*", "spiffe://example.org/ns/emissary/sa/edge-"],
    ["spiffe://*.consul/ns/default/dc/*/svc/web", "spiffe://0a1b.consul/ns/default/dc/dc1/svc/web"],
    ["spiffe://*/**", "spiffe://example.org/a/b/c"],
    ["spiffe://**", "spiffe://example.org"],
    ["spiffe://**", "spiffe://example.org/a/b"],
    ["spiffe://example.org/ns/**", "spiffe://example.org/ns/a"],
    ["spiffe://example.org/ns/**", "spiffe://example.org/ns/a/sa/b"],
    ["spiffe://example.org/*a*b*", "spiffe://example.org/xaayb"],
    ["spiffe://example.org/web%20*", "spiffe://example.org/web%20app"],
    ["spiffe://example.org/*", "spiffe://example.org/a%2Fb"],
    ["spiffe://example.org/a*b*c", "spiffe://example.org/abbc"],
  ])("%s matches %s", (pattern, id) => {
    expect(parseSpiffeIdPattern(pattern).test(id)).toBe(true);
  });

  it.each([
    ["spiffe://example.org/edge", "spiffe://example.org/edge2"],
    ["spiffe://example.org/edge", "spiffe://exampleXorg/edge"],
    ["spiffe://example.org/*", "spiffe://example.org"],
    ["spiffe://example.org/*", "spiffe://example.org/a/b"],
    ["spiffe://example.org/**", "spiffe://example.org"],
    ["spiffe://example.org/**", "spiffe://example.org.evil.test/a"],
    ["spiffe://*.consul/**", "spiffe://evil.test/x.consul/a"],
    ["spiffe://example.org/edge-*", "spiffe://example.org/edge"],
    ["spiffe://example.org/ab*ba", "spiffe://example.org/aba"],
    ["spiffe://example.org/a*b*c", "spiffe://example.org/acb"],
    ["spiffe://example.org/*x*", "spiffe://example.org/abc"],
  ])("%s does not match %s", (pattern, id) => {
    expect(parseSpiffeIdPattern(pattern).test(id)).toBe(false);
  });

  it.each(["", "*", "edge", "spiffe://example.org/", "spiffe://example.org/a b", "spiffe://example.org/%"])(
    "is not %j",
    (text) => {
      expect(() => parseSpiffeIdPattern(text)).toThrow(CredentialError);
    },
  );

  it.each(["spiffe://**/a", "spiffe://example.org/**/a", "spiffe://example.org/a**"])(
    "has ** only as a last segment, unlike %s",
    (text) => {
      expect(() => parseSpiffeIdPattern(text)).toThrow(/that is not the last segment/);
    },
  );

  it("is shown as it was written", () => {
    expect(String(parseSpiffeIdPattern("spiffe://example.org/**"))).toBe("spiffe://example.org/**");
  });

  it("takes no time over a long ID that almost fits", () => {
    const pattern = parseSpiffeIdPattern(`spiffe://example.org/${"a*".repeat(900)}b`);
    expect(pattern.test(`spiffe://example.org/${"a".repeat(2027)}`)).toBe(false);
  });
});

describe("a pattern covers another one", () => {
  const isCovered = (wide: string, narrow: string) =>
    covers(parseSpiffeIdPattern(wide), parseSpiffeIdPattern(narrow));

  it.each([
    ["spiffe://example.org/edge", "spiffe://example.org/edge"],
    ["spiffe://example.org/*", "spiffe://example.org/edge-*"],
    ["spiffe://*.consul/ns/default/dc/*/svc/*", "spiffe://*.consul/ns/default/dc/*/svc/web"],
    ["spiffe://example.org/**", "spiffe://example.org/a/*"],
    ["spiffe://example.org/**", "spiffe://example.org/a/**"],
    ["spiffe://**", "spiffe://**"],
    ["spiffe://**", "spiffe://*.consul/ns/default/dc/*/svc/web"],
  ])("%s covers %s", (wide, narrow) => {
    expect(isCovered(wide, narrow)).toBe(true);
  });

  it.each([
    ["spiffe://example.org/edge", "spiffe://example.org/*"],
    ["spiffe://example.org/edge-*", "spiffe://example.org/*"],
    ["spiffe://example.org/*", "spiffe://example.org/**"],
    ["spiffe://example.org/*/**", "spiffe://example.org/**"],
    ["spiffe://example.org/**", "spiffe://*/**"],
    ["spiffe://example.org/**", "spiffe://**"],
    ["spiffe://*/**", "spiffe://**"],
    ["spiffe://1234.consul/ns/default/dc/*/svc/web", "spiffe://*.consul/ns/default/dc/*/svc/web"],
  ])("%s does not cover %s", (wide, narrow) => {
    expect(isCovered(wide, narrow)).toBe(false);
  });

  it("only if it matches every ID that the other matches", { tags: ["search"] }, () => {
    const segment = fc.stringMatching(/^[ab*]{1,3}$/).filter((text) => !text.includes("**"));
    const pattern = fc
      .tuple(fc.array(segment, { minLength: 1, maxLength: 3 }), fc.boolean())
      .map(([segments, isOpen]) => `spiffe://${segments.join("/")}${isOpen ? "/**" : ""}`);
    const filling = fc.stringMatching(/^[ab]{0,2}$/);
    fc.assert(
      fc.property(
        pattern,
        pattern,
        fc.array(filling, { minLength: 9, maxLength: 9 }),
        (wide, narrow, fill) => {
          fc.pre(isCovered(wide, narrow));
          const [more = "", ...parts] = fill;
          const open = narrow.replace(/\*\*$/, `x/${more}x`);
          const id = open.replaceAll("*", () => parts.pop() ?? "");
          expect(parseSpiffeIdPattern(wide).test(id)).toBe(true);
        },
      ),
      { numRuns: cases(150, 5_000) },
    );
  });
});
