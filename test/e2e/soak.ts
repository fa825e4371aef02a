import { describe, expect, it } from "vitest";
import { failuresOf, type ProofOptions, type ProofReport, prove } from "./proof.ts";

const ten = {
  seconds: 600,
  awaySeconds: 60,
  leafEverySeconds: 5,
  rootEverySeconds: 60,
  nudgeAfter: "2s",
  touchMappings: true,
  churn: "burst",
} as const;

async function run(options: ProofOptions): Promise<ProofReport> {
  const report = await prove(options);
  process.stdout.write(`${JSON.stringify({ options, report }, undefined, 2)}\n`);
  return report;
}

describe("ten minutes with leaves every 5 s, roots every 60 s and two changes of Mappings a second", () => {
  it("lose no request, no connection and no rotation", async () => {
    const report = await run(ten);
    expect(report).toMatchObject({
      ...{ failed: {}, refused: 0 },
      connections: { plaintext: 0 },
      rotations: { lost: 0, pending: 0 },
    });
    // While the API server is unreachable for a minute, no replica leads: that one is true.
    expect(report.alarms.filter((alarm) => alarm !== "AttacheLeaderless")).toEqual([]);
  });

  it("lose rotations where nothing is healed", async () => {
    const { rotations } = await run({ ...ten, nudgeAfter: "10m", touchMappings: false });
    expect(rotations.lost / rotations.published).toBeGreaterThan(0.1);
  });
});

const steady = {
  ...ten,
  ...{ seconds: 180, awaySeconds: 0, leafEverySeconds: 10, rootEverySeconds: 60 },
} as const;

describe("three minutes in which hardly a second is without a change of a Mapping, with leaves every 10 s", () => {
  it.each(["1/s", "2/s", "5/s", "random"] as const)("(%s) lose nothing", async (churn) => {
    const report = await run({ ...steady, churn });
    expect(failuresOf(report)).toEqual([]);
    expect(report.milliseconds.p99).toBeLessThanOrEqual(3_000);
  });

  it("lose rotations where Mappings may not be touched, and `Served` says so and what to do", async () => {
    const report = await run({ ...steady, churn: "2/s", touchMappings: false });
    expect(failuresOf(report)).toContain("every leaf and root is served");
    expect(report.said).toEqual(
      expect.arrayContaining(["False/NotTaken", "Mappings change so often", "touchMappings: true"]),
    );
  });

  it("lose requests, too, where nothing is healed", async () => {
    const report = await run({ ...steady, churn: "2/s", touchMappings: false, nudgeAfter: "10m" });
    expect(failuresOf(report)).toEqual(
      expect.arrayContaining(["no request fails", "no upstream is refused", "every leaf and root is served"]),
    );
    expect(report.touches.all).toBe(0);
  });
});
