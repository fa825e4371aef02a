import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildPeer } from "../build.ts";

/**
 * What promtool prints, on both outputs. Lint problems count as failures.
 * @throws Error with what it prints, if it fails
 */
export async function promtool(args: readonly string[], input = ""): Promise<string> {
  const program = join(await buildPeer("prometheus"), "promtool");
  const run = promisify(execFile)(program, args, { maxBuffer: 64 * 1024 * 1024 });
  run.child.stdin?.end(input);
  const { stdout, stderr } = await run.catch((error: unknown) => {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`promtool ${args.join(" ")}: ${stdout}${stderr}`, { cause: error });
  });
  return stdout + stderr;
}
