import { describe, expect, it } from "vitest";
import { type ProofOptions, type ProofReport, prove } from "./proof.ts";

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
    const { rotations } = await run({ ...ten, nudgeAfter: "10m", touchMappings: false });
    expect(rotations.lost / rotations.published).toBeGreaterThan(0.1);
  });
});

const steady = { ...ten, seconds: 120, awaySeconds: 0, leafEverySeconds: 10 } as const;

describe("two minutes in which hardly a second is without a change of a Mapping, with leaves every 10 s", () => {
  it.each(["1/s", "2/s", "5/s", "random"] as const)("(%s) lose no request and no rotation", async (churn) => {
    const { connections, rotations, milliseconds } = await run({ ...steady, churn });
    expect({ connections, rotations }).toMatchObject({
      connections: { plaintext: 0 },
      rotations: { overtaken: 0, lost: 0, pending: 0 },
    });
    expect(milliseconds.p99).toBeLessThanOrEqual(3_000);
  });

  it("lose rotations where Mappings may not be touched", async () => {
    const { rotations } = await run({ ...steady, churn: "2/s", touchMappings: false });
    expect(rotations.lost).toBeGreaterThan(0);
  });
});
