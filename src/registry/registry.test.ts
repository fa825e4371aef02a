import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { type BuiltInKind, definitions, isBuiltIn, loadAdapter } from "./registry.ts";

const repository = resolve(import.meta.dirname, "../..");
const kinds = Object.keys(definitions) as BuiltInKind[];

// Loads the libraries of each control plane, which takes seconds on a busy machine.
describe("the registry of adapters", { timeout: 30_000 }, () => {
  it("names each folder of adapters/, and none that is not there", async () => {
    const entries = await readdir(resolve(repository, "adapters"), { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    expect(kinds.toSorted()).toEqual(folders.toSorted());
  });

  it.each(kinds)("loads %s, which is as its definition says", async (kind) => {
    const adapter = await loadAdapter(kind, repository);
    expect(adapter).toMatchObject(definitions[kind]);
    expect(adapter.kind).toBe(kind);
    expect(typeof adapter.connect).toBe("function");
  });

  it("does not take the names of every object's properties for adapters", () => {
    expect(isBuiltIn("constructor")).toBe(false);
  });

  it(
    "loads no library of a control plane before its adapter is asked for",
    { tags: ["process"] },
    async () => {
      const script = `
      import { createRequire } from "node:module";
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).filter((path) => path.includes("grpc-js"));
      const { loadAdapter } = await import("./src/registry/registry.ts");
      const before = loaded().length;
      await loadAdapter("istio", ".");
      console.log(before, loaded().length > 0);
    `;
      const args = ["--conditions=development", "--input-type=module", "--eval", script];
      const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: repository });
      expect(stdout).toBe("0 true\n");
    },
  );
});

describe("an adapter that is not built in", () => {
  it("is asked for as the built-in one that was probably meant", async () => {
    await expect(loadAdapter("consol", repository)).rejects.toMatchObject({
      code: "ATTACHE_MESH_UNKNOWN",
      remedy: 'Did you mean "consul"?',
    });
  });

  it("is asked for as a module, when it resembles none", async () => {
    await expect(loadAdapter("@acme/attache-nomad", repository)).rejects.toMatchObject({
      code: "ATTACHE_MESH_UNKNOWN",
      remedy: `Correct the name (built in are consul, istio, spiffe). A plug-in must be installed in ${repository}: the setting plugins.directory.`,
    });
  });
});
