import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, it, onTestFinished, vi } from "vitest";
import { start } from "../../test/fixtures/cli.ts";

it(
  "leaves nothing in the temporary folder, also when it is interrupted twice",
  { tags: ["heavy"] },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "attache-cli-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    await using demo = start(["demo"], { TMPDIR: folder });
    await vi.waitUntil(() => demo.stdout.includes("The console:"), { timeout: 10_000, interval: 20 });
    expect(await readdir(folder)).toHaveLength(1);
    demo.process.kill("SIGINT");
    // Two at once would come as one, and later it has ended.
    await setTimeout(3);
    demo.process.kill("SIGINT");
    const { stderr } = await demo.finished;
    expect(stderr).toBe("");
    expect(await readdir(folder)).toEqual([]);
  },
);
