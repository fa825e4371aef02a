/**
 * The machine that a node runs on: `node test/peers/node/machine.ts FOLDER` runs init.sh, and again after that was
 * killed, like a machine that starts again after a crash. When its standard input closes, which the system does at the
 * latest when the tests' process is gone, it ends the node and removes its cgroups and the folder.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { access, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Of the folders of nodes in that of temporary files, and of their cgroups. */
export const prefix = "attache-node-";

const cgroup = `${prefix}${process.pid}`;

async function main(folder: string): Promise<void> {
  const power = new AbortController();
  const isOn = () => !power.signal.aborted;
  let running: ChildProcess | undefined;
  const off = () => {
    power.abort();
    running?.kill("SIGKILL");
  };
  process.stdin.once("close", off).resume();
  process.on("SIGINT", off).on("SIGTERM", off).on("SIGHUP", off);

  await writeFile(join(folder, "machine"), String(process.pid));
  await removeLeftovers();
  while (isOn()) {
    running = start(folder);
    await once(running, "exit");
    await removeCgroups(folder);
    // Written at the end of init.sh.
    const hasStarted = await exists(join(folder, "pid"));
    await rm(join(folder, "pid"), { force: true });
    if (!hasStarted && isOn()) {
      process.stderr.write(await readFile(join(folder, "log/machine"), "utf8"));
      process.exitCode = 1;
      break;
    }
  }
  process.stdin.destroy();
  await retried(() => rm(folder, { recursive: true, force: true }));
}

/** All of the node ends with its PID 1, which ends with `unshare`, which ends with this process. */
function start(folder: string): ChildProcess {
  const args = ["--pdeathsig", "KILL", join(import.meta.dirname, "enter.sh"), folder, cgroup];
  const log = openSync(join(folder, "log/machine"), "a");
  try {
    return spawn("setpriv", args, { stdio: ["ignore", log, log] });
  } finally {
    closeSync(log);
  }
}

async function removeCgroups(folder: string): Promise<void> {
  for (const path of await cgroupsOf(folder)) await removeCgroup(path);
}

async function cgroupsOf(folder: string): Promise<string[]> {
  const text = await readFile(join(folder, "cgroups"), "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

/** A process leaves its cgroup a moment after it was killed. */
async function removeCgroup(path: string): Promise<void> {
  await retried(async () => {
    if (!(await exists(path))) return;
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (entry.isDirectory()) await removeCgroup(join(path, entry.name));
    }
    await rmdir(path);
  });
}

/** Those of machines that were killed themselves. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const folder = join(tmpdir(), name);
    const machine = await readFile(join(folder, "machine"), "utf8").catch(() => undefined);
    if (!name.startsWith(prefix) || machine === undefined || (await exists(`/proc/${machine}`))) continue;
    await removeCgroups(folder);
    await retried(() => rm(folder, { recursive: true, force: true }));
  }
}

async function retried(action: () => Promise<void>): Promise<void> {
  for (let left = 300; ; left--) {
    try {
      await action();
      return;
    } catch (error) {
      if (left === 0) throw error;
      await sleep(100);
    }
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

if (import.meta.main) await main(process.argv[2] ?? "");
