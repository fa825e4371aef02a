import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { runDemo } from "./demo.ts";
import { isSuccess, type Summary } from "./summary.ts";

async function run(seconds: number, { chaos }: { readonly chaos: boolean }): Promise<Summary> {
  const directory = await mkdtemp(join(tmpdir(), "attache-demo-"));
  try {
    const over = AbortSignal.timeout(seconds * 1_000);
    return await runDemo({ directory, chaos, show: () => undefined }, over);
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe.concurrent("the demo", { tags: ["realtime"] }, () => {
  it("fails no request through rotations of leaf and root, and writes nothing redundant", async ({
    expect,
  }) => {
    const summary = await run(25, { chaos: false });
    expect(summary).toMatchObject({ identities: 3, failed: 0, reasons: [], noopWrites: 0 });
    expect(summary.requests).toBeGreaterThan(100);
    expect(summary.rotations).toBeGreaterThan(2);
    expect(summary.rootRotations).toBe(2);
    expect(isSuccess(summary)).toBe(true);
  });

  it("fails none either while the meshes are killed again and again", async ({ expect }) => {
    const summary = await run(15, { chaos: true });
    expect(summary).toMatchObject({ failed: 0, reasons: [], noopWrites: 0 });
    expect(summary.kills).toBeGreaterThan(0);
  });
});
