import { readFileSync } from "node:fs";

/** Why no node can run here; `undefined`: it can, so that a failure to start one is a failure. */
export function missing(): string | undefined {
  if (process.platform !== "linux") return "a node needs Linux";
  if (process.getuid?.() !== 0) return "a node needs root";
  // A line `N:memory:/path`; with the one hierarchy of cgroup v2 there is none.
  if (!/^\d+:memory:/m.test(readFileSync("/proc/self/cgroup", "utf8")))
    return "a node needs the controllers of cgroup v1";
  return undefined;
}

/** Stands in the names of tests that are skipped. */
export const skipped = missing();

// For .ci/run: exits with 1, and says why, if no node can run.
if (import.meta.main && skipped !== undefined) {
  process.stderr.write(`${skipped}\n`);
  process.exitCode = 1;
}
