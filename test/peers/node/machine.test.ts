import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { prefix } from "./machine.ts";
import { skipped } from "./requirements.ts";

/** A machine with nothing to boot but one process. */
async function startMachine(): Promise<{ folder: string; machine: ChildProcess; ended: Promise<unknown> }> {
  const folder = await mkdtemp(join(tmpdir(), prefix));
  await mkdir(join(folder, "log"));
  await writeFile(join(folder, "boot.sh"), "run idle sleep infinity\n");
  const machine = spawn(process.execPath, [join(import.meta.dirname, "machine.ts"), folder], {
    stdio: ["pipe", "inherit", "inherit"],
    detached: true,
  });
  const ended = once(machine, "exit");
  onTestFinished(async () => {
    machine.stdin.end();
    await ended;
  });
  return { folder, machine, ended };
}

/** Of PID 1 of the node, as the machine numbers it. */
const pidOf = (folder: string) =>
  vi.waitFor(async () => Number(await readFile(join(folder, "pid"), "utf8")) || expect.fail("no PID yet"));

const isGone = (path: string) => expect(access(path)).rejects.toThrow("ENOENT");

const cgroupsOf = async (folder: string) =>
  (await readFile(join(folder, "cgroups"), "utf8")).trim().split("\n");

describe.skipIf(skipped !== undefined)(
  `a machine${skipped === undefined ? "" : ` (skipped: ${skipped})`}`,
  () => {
    it("starts its node again after a crash, and leaves nothing behind when it is switched off", async () => {
      const { folder, machine, ended } = await startMachine();
      const first = await pidOf(folder);
      const cgroups = await cgroupsOf(folder);
      process.kill(first, "SIGKILL");
      const second = await vi.waitFor(async () => {
        const pid = await pidOf(folder);
        expect(pid).not.toBe(first);
        return pid;
      });
      machine.stdin?.end();
      await ended;
      for (const path of [folder, ...cgroups]) await isGone(path);
      await vi.waitFor(() => isGone(`/proc/${second}`));
    });

    it("takes its node with it when it is killed, and the next one removes what is left", async () => {
      const killed = await startMachine();
      const pid = await pidOf(killed.folder);
      const cgroups = await cgroupsOf(killed.folder);
      killed.machine.kill("SIGKILL");
      await vi.waitFor(() => isGone(`/proc/${pid}`));
      const next = await startMachine();
      await pidOf(next.folder);
      for (const path of [killed.folder, ...cgroups]) await isGone(path);
    });
  },
);
