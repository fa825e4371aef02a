import { describe, expect, it } from "vitest";
import { createLeaf, createRoot } from "../../../test/fixtures/pki.ts";
import { expectedRenewal, isOverdue, owedRenewal } from "./agent-renewal.ts";

const { certificate: leaf } = await createLeaf(await createRoot(), {
  notBefore: new Date("2026-01-01T00:00:00Z"),
  notAfter: new Date("2026-01-02T00:00:00Z"),
});

describe("a leaf that the agent gave for a day", () => {
  it("is expected to be renewed at noon", () => {
    expect(expectedRenewal(leaf)).toEqual(new Date("2026-01-01T12:00:00Z"));
  });

  it("is overdue from six in the evening", () => {
    expect(isOverdue(leaf, new Date("2026-01-01T17:59:59Z"))).toBe(false);
    expect(isOverdue(leaf, new Date("2026-01-01T18:00:00Z"))).toBe(true);
  });

  it.each([
    ["fresh", "2026-01-01T00:00:00Z", "2026-01-01T18:00:00Z"],
    ["not yet valid, as our clock has it", "2025-12-31T23:00:00Z", "2026-01-01T18:00:00Z"],
    ["overdue", "2026-01-01T18:00:00Z", "2026-01-01T21:00:00Z"],
    ["still overdue", "2026-01-01T21:00:00Z", "2026-01-01T22:30:00Z"],
    ["about to expire", "2026-01-01T23:59:00Z", "2026-01-02T00:00:00Z"],
    ["expired", "2026-01-03T00:00:00Z", "2026-01-03T00:01:00Z"],
  ])("and is %s, is waited for from %s until %s", (_, now, by) => {
    expect(owedRenewal(leaf, new Date(now), "Look.").by).toEqual(new Date(by));
  });
});

describe("a leaf that istiod gave for two minutes, dated back by two", () => {
  it("is overdue half a minute before its end, and not when the agent renews it", async () => {
    const { certificate } = await createLeaf(await createRoot(), {
      notBefore: new Date("2026-01-01T00:00:00Z"),
      notAfter: new Date("2026-01-01T00:04:00Z"),
    });
    expect(isOverdue(certificate, new Date("2026-01-01T00:03:01Z"))).toBe(false);
    expect(isOverdue(certificate, new Date("2026-01-01T00:03:30Z"))).toBe(true);
  });
});

describe("a leaf for a month, which SPIRE may renew a day before the end", () => {
  it("is overdue two hours later", async () => {
    const { certificate } = await createLeaf(await createRoot(), {
      notBefore: new Date("2026-01-01T00:00:00Z"),
      notAfter: new Date("2026-01-31T00:00:00Z"),
    });
    expect(isOverdue(certificate, new Date("2026-01-30T01:59:59Z"))).toBe(false);
    expect(isOverdue(certificate, new Date("2026-01-30T02:00:00Z"))).toBe(true);
  });
});
