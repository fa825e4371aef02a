import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, expect, it } from "vitest";
import { attache } from "../../test/fixtures/cli.ts";
import type { Summary } from "./summary.ts";

async function run(...flags: readonly string[]): Promise<{ summary: Summary; status: number | null }> {
  const { status, stdout, stderr } = await attache("demo", "--json", ...flags);
  expect(stderr).toBe("");
  const summary = JSON.parse(stdout) as Summary;
  await rm(dirname(summary.directory), { recursive: true });
  return { summary, status };
}

describe.concurrent("the demo", () => {
  it("fails no request through rotations of leaf and root, and writes nothing redundant", async ({
    expect,
  }) => {
    const { summary, status } = await run("--duration", "25s");
    expect(summary).toMatchObject({ identities: 3, failed: 0, reasons: [], noopWrites: 0 });
    expect(summary.requests).toBeGreaterThan(100);
    expect(summary.rotations).toBeGreaterThan(2);
    expect(summary.rootRotations).toBe(2);
    expect(status).toBe(0);
  });

  it("fails none either while the meshes are killed again and again", async ({ expect }) => {
    const { summary, status } = await run("--duration", "15s", "--chaos");
    expect(summary).toMatchObject({ failed: 0, reasons: [], noopWrites: 0 });
    expect(summary.kills).toBeGreaterThan(0);
    expect(status).toBe(0);
  });
});
