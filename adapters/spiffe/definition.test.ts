import { describe, expect, it } from "vitest";
import { parseSpiffeIdPattern } from "../../src/mesh/adapter.ts";
import { rowsOf, rowsUnder } from "../../test/fixtures/readme-tables.ts";
import { definition } from "./definition.ts";

const readme = new URL("README.md", import.meta.url);

describe("the adapter's README", () => {
  it("lists every setting, and no other, with its default and meaning", () => {
    expect(rowsUnder("Settings", readme)).toEqual(rowsOf(definition.settings));
  });

  it("lists every field of an identity, and no other", () => {
    expect(rowsUnder("Identity", readme)).toEqual(rowsOf(definition.identity));
  });
});

describe("the settings", () => {
  it("need nothing where SPIRE's agent listens at its usual place", () => {
    expect(definition.settings.parse({})).toEqual({ mode: "workload", federatedTrustDomains: [] });
  });

  it.each([
    [{ mode: "sds" }, 'mode "sds" does not exist; write "workload", or leave it out'],
    [
      { endpointSocket: "/run/api.sock" },
      'must be like "unix:///run/spire/agent-sockets/api.sock", of at most 103 bytes, or "tcp://127.0.0.1:8081" with an IP address',
    ],
    [
      { federatedTrustDomains: ["spiffe://partner.example"] },
      'must be the name of a trust domain, e.g. "partner.example", or "*" for all',
    ],
    [
      { federatedTrustDomains: ["Partner.example"] },
      'must be the name of a trust domain, e.g. "partner.example", or "*" for all',
    ],
  ])("refuse %j", (settings, message) => {
    const { error } = definition.settings.safeParse(settings);
    expect(error?.issues.map((issue) => issue.message)).toEqual([message]);
  });

  it.each([["partner.example"], ["*"]])("take %s as a federated trust domain", (name) => {
    expect(definition.settings.safeParse({ federatedTrustDomains: [name] }).success).toBe(true);
  });
});

describe("an identity", () => {
  it("with a SPIFFE ID counts as expected when it is that one", () => {
    const id = "spiffe://example.org/edge";
    expect(definition.expected({ id, hint: "web" })).toBe(id);
  });

  it("without one counts as expected, whatever its name is", () => {
    const expected = parseSpiffeIdPattern(definition.expected({ hint: "web" }));
    expect(expected.test("spiffe://example.org/ns/emissary/sa/edge")).toBe(true);
    expect(expected.test("https://example.org/")).toBe(false);
  });

  it.each(["", "edge", "spiffe://Example.org/edge", "spiffe://example.org/*", "spiffe://example.org/a/../b"])(
    "cannot have the SPIFFE ID %j",
    (id) => {
      const { error } = definition.identity.safeParse({ id });
      expect(error?.issues.map((issue) => issue.message)).toEqual([
        'must be a SPIFFE ID, e.g. "spiffe://example.org/edge"',
      ]);
    },
  );
});
