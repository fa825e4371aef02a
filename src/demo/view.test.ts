import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import type { ConditionType, Status } from "../api/mesh-certificate.ts";
import { draw, type Row, type Scene } from "./view.ts";

const now = new Date("2026-01-01T00:00:10Z");

const row: Row = {
  name: "storefront",
  mesh: "consul",
  rotations: 5,
  status: {
    conditions: [],
    serialNumber: "00AB7CB1396F",
    notBefore: "2026-01-01T00:00:00Z",
    notAfter: "2026-01-01T00:00:24Z",
    renewalTime: "2026-01-01T00:00:20Z",
    roots: ["active", "retiring"].map((state) => ({
      fingerprint: "ab",
      notAfter: "2026-01-02T00:00:00Z",
      state: state as "active" | "retiring",
    })),
  },
};

function lines(part: Partial<Status>, scene: Partial<Scene> = {}): string[] {
  const traffic = { requests: 20, failed: 1, reasons: new Set<string>() };
  const whole = {
    now,
    rows: [{ ...row, status: { conditions: [], ...row.status, ...part } }],
    rootRotations: 1,
    traffic,
    events: ["12:00:00  it began"],
  };
  return stripVTControlCharacters(draw({ ...whole, ...scene })).split("\n");
}

function problem(type: ConditionType, reason: string): Partial<Status> {
  const lastTransitionTime = "2026-01-01T00:00:00Z";
  return { conditions: [{ type, status: "False", reason, message: "", lastTransitionTime }] };
}

describe("the picture of the demo", () => {
  it("has time to renewal as a bar, serial, end, roots and rotations in their columns", () => {
    expect(lines({}).slice(0, 2)).toEqual([
      "IDENTITY    MESH   SERIAL      NEXT LEAF                ENDS  ROOTS  ROTATIONS",
      "storefront  consul AB7CB1396F  ████████░░░░░░░░  10 s   14 s      2          5",
    ]);
  });

  it("has requests, and what happened last", () => {
    expect(lines({}).slice(3)).toEqual([
      "requests  19 ok, 1 failed    root rotations  1",
      "",
      "12:00:00  it began",
    ]);
  });

  it.each<[string, Partial<Status>, RegExp]>([
    ["an empty bar when the next leaf is due", { renewalTime: now.toISOString() }, /░{16} {3}0 s/],
    ["the end where no renewal time is known", { renewalTime: undefined }, /14 s {3}14 s/],
    [
      "no bar before there is a leaf",
      { notBefore: undefined, notAfter: undefined, renewalTime: undefined },
      /6F {30,}2 /,
    ],
    [
      "what is wrong in place of it",
      problem("SourceReady", "Unreachable"),
      /Unreachable, the last good one stays$/,
    ],
    ["the reason of another problem", problem("Ready", "Expired"), /Expired$/],
  ])("has %s", (_, part, expected) => {
    expect(lines(part)[1]).toMatch(expected);
  });
});
