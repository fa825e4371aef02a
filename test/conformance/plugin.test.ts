import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadPlugin } from "../../src/mesh/plugin.ts";

const repository = resolve(import.meta.dirname, "../..");
let directory: string;

/** As after `npm install @acme/attache-files attache zod` beside the settings. */
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "attache-plugin-"));
  const modules = join(directory, "node_modules");
  await cp(join(repository, "test/fixtures/plugin"), join(modules, "@acme/attache-files"), {
    recursive: true,
  });
  await symlink(repository, join(modules, "attache"));
  await symlink(join(repository, "node_modules/zod"), join(modules, "zod"));
});

afterAll(() => rm(directory, { recursive: true }));

describe("an adapter that is an npm module", () => {
  it("is loaded by its name, and passes the conformance suite without a test runner", async () => {
    const script = join(import.meta.dirname, "plugin.ts");
    // Node itself resolves the plug-in's imports; `development` makes it take our sources.
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--conditions=development",
      script,
      directory,
    ]);
    const lines = stdout.trim().split("\n");
    expect(lines[0]).toBe("files");
    expect(lines.length).toBeGreaterThan(15);
    expect(lines.slice(1).filter((line) => !/^(?:ok|skip) /.test(line))).toEqual([]);
  });
});

describe("a module that is no adapter", () => {
  const install = async (name: string, source: string, manifest: object = { exports: "./index.js" }) => {
    const folder = join(directory, "node_modules", name);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "package.json"), JSON.stringify({ name, type: "module", ...manifest }));
    await writeFile(join(folder, "index.js"), source);
  };

  it.each(["nowhere", "@acme/nowhere", "process", "node:fs"])("is not found as %s", async (name) => {
    await expect(loadPlugin(name, directory)).rejects.toMatchObject({
      code: "ATTACHE_MESH_UNKNOWN",
      problem: `there is no adapter "${name}", neither built in nor as a module`,
      remedy: `Correct the name, or run "npm install ${name}" in ${directory}.`,
      retryable: false,
    });
  });

  it.each<[string, string, string, object?]>([
    ["exports nothing", "", "adapter: Invalid input"],
    ["exports something else", "export const adapter = { kind: 1 }", "adapter.kind: Invalid input"],
    [
      "has schemas of no zod",
      "const connect = () => {}; export const adapter = { kind: 'x', settings: {}, identity: {}, connect }",
      "adapter.settings: must be a zod schema",
    ],
    ["throws", "throw new Error('no such thing')", "failed: no such thing"],
    ["is no JavaScript", "export const a: string = 1", "Missing initializer in const declaration"],
    ["hides its entry", "", "nothing under this name", { exports: { "./other": "./index.js" } }],
  ])("is refused when it %s", async (what, source, problem, manifest) => {
    const name = `attache-${what.replaceAll(" ", "-")}`;
    await install(name, source, manifest);
    const error: unknown = await loadPlugin(name, directory).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: "ATTACHE_MESH_PLUGIN", retryable: false });
    expect(String(error)).toContain(`the plug-in "${name}"`);
    expect(String(error)).toContain(problem);
  });
});
