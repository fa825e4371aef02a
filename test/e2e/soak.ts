import { describe, expect, it } from "vitest";
import { type ProofOptions, type ProofReport, prove } from "./proof.ts";

const ten = {
  seconds: 600,
  awaySeconds: 60,
  rootEverySeconds: 60,
  nudgeAfter: "2s",
  churn: "burst",
} as const;

async function run(options: ProofOptions): Promise<ProofReport> {
  const report = await prove(options);
  process.stdout.write(`${JSON.stringify({ options, report }, undefined, 2)}\n`);
  expect(report.failed).toEqual({});
  return report;
}

describe("ten minutes with leaves every 5 s, roots every 60 s and two changes of Mappings a second", () => {
  it("lose no request, no connection and no rotation", async () => {
    const report = await run(ten);
    // On a machine that is busy with other things, one may take longer than the five seconds until the next.
    expect(report).toMatchObject({ connections: { plaintext: 0 }, rotations: { lost: 0, pending: 0 } });
  });

  it("lose rotations where nothing is healed", async () => {
    const { rotations } = await run({ ...ten, nudgeAfter: "24h" });
    expect(rotations.lost / rotations.published).toBeGreaterThan(0.1);
  });
});

describe("two minutes in which hardly a second is without a change of a Mapping", () => {
  it.each(["random", "steady"] as const)("(%s) lose no request and no connection", async (churn) => {
    const { connections } = await run({ ...ten, seconds: 120, awaySeconds: 10, churn });
    expect(connections.plaintext).toBe(0);
  });
});
