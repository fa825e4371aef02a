import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { accessFile } from "./client.ts";

/**
 * From `dist/bench/test/bench/kubernetes`: the recipes and the guard of the control plane are not compiled.
 */
const source = join(import.meta.dirname, "../../../../../test/bench/kubernetes/control-plane.ts");

/**
 * A real API server, for the scenarios in this folder. @throws Error that says what to do if its programs are
 * missing.
 */
export async function startCluster(folder: string): Promise<AsyncDisposable> {
  const child = spawn(process.execPath, [source]);
  const closed = once(child, "close");
  let output = "";
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  // Not while we watch, but by then nothing reads either.
  child.stdin.on("error", () => undefined);
  const lines = createInterface(child.stdout);
  const [access] = (await Promise.race([once(lines, "line"), closed])) as [string | number | null];
  if (typeof access !== "string") throw new Error(/Error: (.*)/.exec(output)?.[1] ?? output);
  await writeFile(accessFile(folder), access);
  return {
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await closed;
    },
  };
}
