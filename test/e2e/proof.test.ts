import { expect, it } from "vitest";
import { failuresOf, prove } from "./proof.ts";

it("no request fails, none goes out in plaintext, and every rotation is served, whatever goes away meanwhile", async () => {
  const report = await prove({
    seconds: 60,
    awaySeconds: 8,
    leafEverySeconds: 5,
    rootEverySeconds: 40,
    nudgeAfter: "2s",
    touchMappings: true,
    churn: "burst",
  });
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  expect([report.failed, report.refused]).toEqual([{}, 0]);
  expect(report).toMatchObject({ connections: { plaintext: 0 }, rotations: { pending: 0 }, alarms: [] });
  // On a busy machine one may take longer than the five seconds until the next.
  expect(report.rotations.lost).toBeLessThanOrEqual(1);
}, 300_000);

it("every leaf and root is served while a Mapping changes twice a second", async () => {
  const report = await prove({
    seconds: 60,
    awaySeconds: 0,
    leafEverySeconds: 10,
    rootEverySeconds: 30,
    nudgeAfter: "2s",
    touchMappings: true,
    churn: "2/s",
  });
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  expect(failuresOf(report)).toEqual([]);
}, 300_000);
