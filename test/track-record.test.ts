import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";

const repository = join(import.meta.dirname, "..");
const page = await readFile(join(repository, "docs/track-record.md"), "utf8");
const rows = [...page.matchAll(/^\| (.+?) +\| `(\S+)` +\| (.+?) +\|$/gm)].map(
  ([, fault = "", file = "", name = ""]) => ({ fault, file, name }),
);

it("the track record names tests that exist", async () => {
  expect(rows.length).toBeGreaterThan(20);
  for (const { file, name } of rows) {
    const text = await readFile(join(repository, file.endsWith(".ts") ? file : `${file}.ts`), "utf8");
    expect(text, `${file}: ${name}`).toContain(name);
  }
});
