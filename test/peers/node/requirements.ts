import { readFileSync } from "node:fs";

/** Why no node can run here; `undefined`: it can, so that a failure to start one is a failure. */
export function missing(): string | undefined {
  if (process.platform !== "linux") return "a node needs Linux";
  if (process.getuid?.() !== 0) return "a node needs root";
  // As `N:memory:/path`. TODO in README: the unified hierarchy of cgroup v2 is not supported.
  if (!/^\d+:memory:/m.test(readFileSync("/proc/self/cgroup", "utf8")))
    return "a node needs the controllers of cgroup v1";
  return undefined;
}

/** Of the tests' names. */
export const skipped = missing();

// For .ci/run: exits with 1, and says why, if no node can run.
if (import.meta.main && skipped !== undefined) {
  process.stderr.write(`${skipped}\n`);
  process.exitCode = 1;
}
