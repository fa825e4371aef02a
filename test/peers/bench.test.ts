import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const node = (...args: readonly string[]) =>
  promisify(execFile)(process.execPath, args, { cwd: resolve(import.meta.dirname, "../..") });

it(
  "runs each scenario of the benchmarks, but for those beside other tools",
  { timeout: 300_000 },
  async () => {
    await node("--conditions=development", "deploy/bundle.ts", "bench");
    const { stdout, stderr } = await node("dist/bench/test/bench/main.js", "--smoke");
    expect(stderr).toBe("");
    for (const figure of [
      "mesh emits → published",
      "event loop delay p99 while 100 Mappings come unchanged",
      "mesh emits → PATCH answered",
      "beside 20 foreign Secrets",
      "real Consul: 10 identities first issued",
      "sds: peer's push",
      "workload: the same",
      "WatchRoots: the same",
    ])
      expect(stdout).toContain(figure);
    expect(stdout).not.toContain("NaN");
  },
);
