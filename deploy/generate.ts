/** `npm run generate` writes every generated file; with `--check` it writes nothing, and fails if one is stale. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { generated } from "./generators/generated.ts";

const root = join(import.meta.dirname, "..");
const checks = process.argv.includes("--check");
const stale: string[] = [];

for (const [path, text] of generated()) {
  const file = join(root, path);
  const present = await readFile(file, "utf8").catch(() => undefined);
  if (present === text) continue;
  stale.push(path);
  if (checks) continue;
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

for (const path of stale) process.stdout.write(`${checks ? "stale" : "written"}: ${path}\n`);
if (checks && stale.length > 0) {
  process.stdout.write("Run `npm run generate`, and commit what it writes.\n");
  process.exitCode = 1;
}
