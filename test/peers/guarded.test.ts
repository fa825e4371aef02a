import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";

/** Starts a guarded program that prints its process id, and waits for ever. */
const starter = `
  import { startGuarded } from ${JSON.stringify(join(import.meta.dirname, "guarded.ts"))};
  const guarded = startGuarded(process.execPath, ["-e", "console.log(process.pid); setInterval(() => {}, 1000)"]);
  await guarded.until(async () => /\\d/.test(guarded.output()), "its id");
  console.log(guarded.output());
`;

describe("a guarded program", () => {
  it("ends when the tests that started it are killed", async () => {
    const tests = spawn(process.execPath, ["--input-type=module-typescript", "-e", starter]);
    const [pid] = (await once(createInterface(tests.stdout), "line")) as [string];
    expect(isAlive(Number(pid))).toBe(true);
    tests.kill("SIGKILL");
    await expect.poll(() => isAlive(Number(pid)), { timeout: 60_000 }).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
