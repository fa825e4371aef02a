import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { allowRule } from "../config/allow-rule.ts";
import { parseSpiffeIdPattern } from "../credentials/spiffe-id.ts";
import { allowBy, allowOf, allowOnly, type AccessCheck, NotAllowedError } from "./allow.ts";

const web = "spiffe://*.consul/ns/default/dc/*/svc/web";

function wanted(
  changes: Partial<Omit<AccessCheck, "expected">> & { readonly expected?: string } = {},
): AccessCheck {
  const { expected = web, ...others } = changes;
  return {
    namespace: "shop",
    mesh: "consul",
    tlsContext: "web",
    ...others,
    expected: parseSpiffeIdPattern(expected),
  };
}

const rule = { namespaces: ["shop"], mesh: "consul", spiffeIds: [web], tlsContexts: ["web"] };

describe("a rule", () => {
  it("grants what it names, and says up to which SPIFFE IDs", () => {
    expect(allowBy([rule])(wanted()).map(String)).toEqual([web]);
  });

  it.each([
    ["another namespace", wanted({ namespace: "shop2" })],
    ["another mesh", wanted({ mesh: "consul-dc2" })],
    ["another TLSContext", wanted({ tlsContext: "storefront" })],
    ["another identity", wanted({ expected: "spiffe://*.consul/ns/default/dc/*/svc/billing" })],
    ["more than the identity", wanted({ expected: "spiffe://*.consul/ns/default/dc/*/svc/*" })],
    ["every identity", wanted({ expected: "spiffe://**" })],
  ])("refuses %s", (_, other) => {
    expect(() => allowBy([rule])(other)).toThrow(NotAllowedError);
  });

  it("may name by patterns", () => {
    const wide = {
      namespaces: ["team-*"],
      mesh: "*",
      spiffeIds: ["spiffe://*/**"],
      tlsContexts: ["team-*-mesh"],
    };
    const allow = allowBy([wide]);
    expect(allow(wanted({ namespace: "team-a", tlsContext: "team-a-mesh" }))).toHaveLength(1);
    expect(() => allow(wanted({ namespace: "a-team-a", tlsContext: "team-a-mesh" }))).toThrow(
      NotAllowedError,
    );
  });

  it("must grant a request whole: two that grant a half each grant nothing", () => {
    const halves = [
      { ...rule, tlsContexts: ["other"] },
      { ...rule, spiffeIds: ["spiffe://x/y"] },
    ];
    expect(() => allowBy(halves)(wanted())).toThrow(NotAllowedError);
  });
});

describe("a refusal", () => {
  function ruleIn(refused: () => unknown): unknown {
    try {
      refused();
    } catch (error) {
      if (error instanceof NotAllowedError) return parse(/- \{.*\}/.exec(error.remedy)?.[0] ?? "");
    }
    throw new Error("it was allowed");
  }

  it("shows the very rule that would allow it", () => {
    const rules = ruleIn(() => allowBy([])(wanted({ namespace: "null", tlsContext: "1e3" })));
    const parsed = allowRule.array().parse(rules);
    expect(parsed).toEqual([{ ...rule, namespaces: ["null"], tlsContexts: ["1e3"] }]);
    expect(allowBy(parsed)(wanted({ namespace: "null", tlsContext: "1e3" }))).toHaveLength(1);
  });

  it("without rules says that they take the place of the default", () => {
    expect(() => allowOnly("emissary")(wanted())).toThrow(
      'without rules only MeshCertificates in the namespace "emissary" are served',
    );
    expect(ruleIn(() => allowOnly("emissary")(wanted()))).toEqual([rule]);
  });
});

describe("without rules", () => {
  it("a cluster serves attaché's own namespace", () => {
    const allow = allowOf(undefined, "emissary");
    expect(allow(wanted({ namespace: "emissary" })).map(String)).toEqual(["spiffe://**"]);
    expect(() => allow(wanted())).toThrow(NotAllowedError);
  });

  it("a folder serves each user that may write it", () => {
    expect(allowOf(undefined, undefined)(wanted()).map(String)).toEqual(["spiffe://**"]);
  });

  it("is not the same as with none of them", () => {
    expect(() => allowOf([], undefined)(wanted())).toThrow(NotAllowedError);
    expect(() => allowOf([], "shop")(wanted())).toThrow(NotAllowedError);
  });
});
