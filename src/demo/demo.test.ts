import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { runDemo } from "./demo.ts";
import { isSuccess, type Summary } from "./summary.ts";
import type { Scene } from "./view.ts";

interface RunOptions {
  readonly chaos: boolean;
  /** Ends the run: what it is to show has happened, however long that has taken. */
  readonly until: (scene: Scene) => boolean;
  readonly signal: AbortSignal;
}

async function run({ chaos, until, signal }: RunOptions): Promise<Summary> {
  const directory = await mkdtemp(join(tmpdir(), "attache-demo-"));
  const seen = new AbortController();
  const show = (scene: Scene) => {
    if (until(scene)) seen.abort();
  };
  try {
    return await runDemo({ directory, chaos, show }, AbortSignal.any([seen.signal, signal]));
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe.concurrent("the demo", { tags: ["thorough"] }, () => {
  it("fails no request through rotations of leaf and root, and writes nothing redundant", async ({
    expect,
    signal,
  }) => {
    // Each leaf under the new roots, and some requests with it.
    let enough = Infinity;
    const until = ({ rows, traffic }: Scene) => {
      if (rows.every(({ rotations }) => rotations > 0)) enough = Math.min(enough, traffic.requests + 20);
      return traffic.requests > Math.max(enough, 100);
    };
    const summary = await run({ chaos: false, until, signal });
    expect(summary).toMatchObject({ identities: 3, failed: 0, reasons: [], noopWrites: 0 });
    expect(summary.requests).toBeGreaterThan(100);
    expect(summary.rotations).toBeGreaterThan(2);
    expect(summary.rootRotations).toBe(2);
    expect(isSuccess(summary)).toBe(true);
  });

  it("fails none while the meshes are killed again and again", async ({ expect, signal }) => {
    const killed = new Set<string>();
    let enough = Infinity;
    const until = ({ events, traffic }: Scene) => {
      for (const event of events.filter((one) => one.includes("killed the server of"))) killed.add(event);
      if (killed.size === 2) enough = Math.min(enough, traffic.requests + 20);
      return traffic.requests >= enough;
    };
    const summary = await run({ chaos: true, until, signal });
    expect(summary).toMatchObject({ failed: 0, reasons: [], noopWrites: 0 });
    expect(summary.kills).toBeGreaterThan(1);
  });
});
