import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createDirectory, type Directory, written } from "../../test/fixtures/directory.ts";
import { complete } from "./complete.ts";
import { program } from "./program.ts";

let directory: Directory;

beforeEach(async () => {
  directory = await createDirectory();
  await writeFile(join(directory.root, "attache.yaml"), "{}\n");
  await directory.write("a.yaml", [written("emissary/storefront"), written("shop/billing")]);
});

afterEach(() => directory[Symbol.asyncDispose]());

/** What kubectl gets for these words. */
async function completed(...words: readonly string[]): Promise<string[]> {
  let printed = "";
  using _spy = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  const config = join(directory.root, "attache.yaml");
  await complete(
    words.map((word) => word.replace("CONFIG", config)),
    program(),
  );
  return printed.trimEnd().split("\n");
}

it("completes commands with what they do", async () => {
  expect(await completed("sta")).toEqual([
    "status\tShow whether attaché works, who is exposed, the status of each identity, and remedies.",
    ":4",
  ]);
  expect((await completed("")).length).toBeGreaterThan(10);
});

it.each([
  [
    ["status", "--no-h"],
    ["--no-headers\tprint only the rows of the table", ":4"],
  ],
  [
    ["status", "-o", "js"],
    ["json", "jsonpath=", ":4"],
  ],
  [
    ["explain", "ATTACHE_STORE_LOC"],
    [expect.stringMatching(/^ATTACHE_STORE_LOCKED\t./), ":4"],
  ],
  [
    ["status", "-c", "CONFIG", ""],
    ["emissary/storefront", "shop/billing", ":4"],
  ],
  [
    ["status", "-o", "wide", "-c", "CONFIG", "shop"],
    ["shop/billing", ":4"],
  ],
  [
    ["distrust", "-c", "CONFIG", "b2b2b2b2", "em"],
    ["emissary/storefront", ":4"],
  ],
  [["distrust", "-c", "CONFIG", ""], [":4"]],
  [["inspect", "-c", "CONFIG", "emissary/storefront", ""], [":4"]],
  [["status", "-c", ""], [":0"]],
  [["status", "-c", "/nowhere.yaml", ""], [":4"]],
] as const)("completes %j", async (words, expected) => {
  expect(await completed(...words)).toEqual(expected);
});
