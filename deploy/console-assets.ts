/** The page of the console, built in memory from `src/console/web`. The bundle holds what this gives. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { rolldown } from "rolldown";
import type { ConsoleAssets } from "../src/console/page.ts";

const web = join(import.meta.dirname, "../src/console/web");

export async function consoleAssets(): Promise<ConsoleAssets> {
  await using build = await rolldown({
    input: join(web, "main.tsx"),
    platform: "browser",
    logLevel: "silent",
  });
  const { output } = await build.generate({ format: "esm", minify: true });
  const [{ code }] = output;
  return { script: code, style: await readFile(join(web, "style.css"), "utf8") };
}
