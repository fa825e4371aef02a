import { expect, it } from "vitest";
import { prove } from "./proof.ts";

it("no request fails, none goes out in plaintext, and every rotation is served, whatever goes away meanwhile", async () => {
  const report = await prove({
    seconds: 60,
    awaySeconds: 8,
    rootEverySeconds: 40,
    nudgeAfter: "2s",
    churn: "burst",
  });
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  expect(report).toMatchObject({
    failed: {},
    connections: { plaintext: 0 },
    rotations: { lost: 0, pending: 0 },
  });
}, 300_000);
