import { execFile } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { privateKeyPem } from "../../src/credentials/keys.ts";
import { createAuthority } from "../../src/mesh/development/authority.ts";
import { loadPlugin } from "../../src/registry/plugin.ts";
import { command } from "../fixtures/command.ts";
import { blocksOf } from "../fixtures/markdown.ts";

const repository = resolve(import.meta.dirname, "../..");
const example = join(repository, "test/fixtures/plugin");
/** The example as it was packed for version 0.1.0: it stays as it is. */
const former = join(repository, "test/fixtures/plugin-0.1.0");
let directory: string;
let formerDirectory: string;

beforeAll(async () => {
  [directory, formerDirectory] = await Promise.all([install(example), install(former)]);
});

afterAll(() => Promise.all([directory, formerDirectory].map((one) => rm(one, { recursive: true }))));

/** A folder as after `npm install @acme/attache-files attache zod` beside the settings. */
async function install(plugin: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "attache-plugin-"));
  const modules = join(folder, "node_modules");
  await cp(plugin, join(modules, "@acme/attache-files"), { recursive: true });
  await symlink(repository, join(modules, "attache"));
  await symlink(join(repository, "node_modules/zod"), join(modules, "zod"));
  return folder;
}

/** Runs a plug-in's own tests: the conformance suite, with Node's runner. */
async function expectToPass(folder: string): Promise<void> {
  // `development` makes its imports take our sources.
  const args = ["--conditions=development", "--test", "--test-isolation=none", "--test-reporter=tap"];
  const cwd = join(folder, "node_modules/@acme/attache-files");
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd });
  const [, passed] = /^# pass (\d+)$/m.exec(stdout) ?? [];
  expect(Number(passed)).toBeGreaterThan(15);
  expect(stdout).toContain("\n# fail 0\n");
}

describe("a plug-in that was built for version 0.1.0", () => {
  it("passes the conformance suite of today", { tags: ["thorough"] }, () => expectToPass(formerDirectory));
});

describe("the example of a plug-in", () => {
  it("passes its own tests", { tags: ["process"] }, () => expectToPass(directory));

  it("stands in docs/adapters.md as it is", async () => {
    const shown = blocksOf(await readFile(page, "utf8")).map(({ text }) => text);
    for (const file of await readdir(example)) {
      expect(shown, file).toContain(await readFile(join(example, file), "utf8"));
    }
  });
});

describe("the code of the example", () => {
  it("has less than 100 lines", async () => {
    const lines = (await readFile(join(example, "index.js"), "utf8")).split("\n");
    const code = lines.filter((line) => line.trim() !== "" && !/^\s*(?:\/\/|\/?\*)/.test(line));
    expect(code.length).toBeLessThan(100);
  });
});

describe("attaché with the settings and the MeshCertificate of docs/adapters.md", () => {
  it("publishes what the plug-in gives", { tags: ["realtime"] }, async () => {
    const { stdout, stderr, status } = await render();
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout.match(/^kind: .*$/gm)).toEqual(["kind: Secret", "kind: Secret", "kind: TLSContext"]);
  });

  it("names the place of what the plug-in's schema of settings refuses", async () => {
    const { stderr, status } = await render({ settings: (yaml) => `${yaml}    everyMs: 1\n` });
    expect(stderr).toContain("attache.yaml:5:5 meshes.files.everyMs: ");
    expect(status).toBe(2);
  });

  it("names the place of what its schema of identities refuses", async () => {
    const { stderr, status } = await render({
      identity: (yaml) => yaml.replace("name: edge }\n", "name: Edge }\n"),
    });
    expect(stderr).toContain('ATTACHE_MESH_IDENTITY_REFUSED: spec.plugin.name: must be like "edge-1"');
    expect(status).toBe(1);
  });
});

const page = join(repository, "docs/adapters.md");

type Change = (yaml: string) => string;

const asItIs: Change = (yaml) => yaml;

/** `attache render` with the files of the page, in a folder of this test. */
async function render({ settings = asItIs, identity = asItIs } = {}) {
  const [settingsYaml = "", identityYaml = ""] = blocksOf(await readFile(page, "utf8"))
    .filter(({ language }) => language === "yaml")
    .map(({ text }) => text);
  const folder = await writeCertificates();
  await writeFile(
    join(directory, "attache.yaml"),
    settings(settingsYaml.replace("/run/certificates", folder)),
  );
  await writeFile(join(directory, "edge.yaml"), identity(identityYaml));
  const [settingsFile, identityFile] = ["attache.yaml", "edge.yaml"].map((name) => join(directory, name));
  return command("render", identityFile ?? "", "--config", settingsFile ?? "", "--timeout", "60s");
}

async function writeCertificates(): Promise<string> {
  const folder = await mkdtemp(join(directory, "certificates-"));
  const authority = await createAuthority({ trustDomain: "example.org", clock: systemClock });
  const { key, chain } = await authority.issue({ uri: "spiffe://example.org/edge" });
  const files = {
    "edge.key": privateKeyPem(key),
    "edge.crt": chain.map((certificate) => certificate.toPem()).join(""),
    "roots.crt": authority
      .roots()
      .map(({ certificate }) => certificate.toPem())
      .join(""),
  };
  for (const [name, pem] of Object.entries(files)) await writeFile(join(folder, name), pem);
  return folder;
}

describe("a module that is no adapter", () => {
  const installModule = async (
    name: string,
    source: string,
    manifest: object = { exports: "./index.js" },
  ) => {
    const folder = join(directory, "node_modules", name);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "package.json"), JSON.stringify({ name, type: "module", ...manifest }));
    await writeFile(join(folder, "index.js"), source);
  };

  it.each(["nowhere", "@acme/nowhere", "process", "node:fs"])("is not found as %s", async (name) => {
    await expect(loadPlugin(name, directory)).rejects.toMatchObject({
      code: "ATTACHE_MESH_UNKNOWN",
      problem: `there is no adapter "${name}", neither built in nor as a module`,
      remedy: `Correct the name. A plug-in must be installed in ${directory}: the setting plugins.directory.`,
      retryable: false,
    });
  });

  it("is not found in a folder around the plug-ins', or by a path", async () => {
    await installModule("attache-around", "throw new Error('was run')");
    await mkdir(join(directory, "inner/node_modules/attache-inner"), { recursive: true });
    const file = join(directory, "node_modules/attache-around/index.js");
    for (const name of [
      "attache-around",
      file,
      "../node_modules/attache-around",
      "attache-inner/../../../node_modules/attache-around/index.js",
    ])
      await expect(loadPlugin(name, join(directory, "inner"))).rejects.toMatchObject({
        code: "ATTACHE_MESH_UNKNOWN",
      });
  });

  it("is not loaded where others may write to it, or to a folder around it", async () => {
    await installModule("attache-open", "throw new Error('was run')");
    const folder = join(directory, "node_modules/attache-open");
    for (const path of [join(folder, "index.js"), folder, directory]) {
      await chmod(path, 0o777);
      await expect(loadPlugin("attache-open", directory)).rejects.toMatchObject({
        code: "ATTACHE_MESH_PLUGIN",
        problem: `the plug-in "attache-open": others may write to ${path} (mode 777)`,
        remedy: expect.stringContaining(`chmod go-w ${path}`) as string,
      });
      await chmod(path, 0o700);
    }
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
    await installModule(name, source, manifest);
    const error: unknown = await loadPlugin(name, directory).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: "ATTACHE_MESH_PLUGIN", retryable: false });
    expect(String(error)).toContain(`the plug-in "${name}"`);
    expect(String(error)).toContain(problem);
  });
});
