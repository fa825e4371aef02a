import { spawnSync } from "node:child_process";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { command } from "../../test/fixtures/command.ts";
import { createDirectory, declared, type Directory, written } from "../../test/fixtures/directory.ts";
import { DocumentError } from "../text/yaml/document-error.ts";
import { shownSettings } from "./bundle-settings.ts";

let directory: Directory;
let config: string;

const token = "0aa4b5a0-64cb-4fd4-9d0d-79a1ee0d8d3a";

beforeEach(async () => {
  directory = await createDirectory();
  config = join(directory.root, "attache.yaml");
  await writeFile(
    config,
    `meshes: { consul: { adapter: consul, mode: http, address: "http://127.0.0.1:9", token: ${token} } }\n`,
  );
  const identity = written("emissary/storefront");
  await directory.write("a.yaml", [
    { ...identity, metadata: { ...identity.metadata, annotations: { "example.org/note": "canary-note" } } },
  ]);
});

afterEach(() => directory[Symbol.asyncDispose]());

/** All files of the archive, as tar reads them. */
function contentOf(file: string): { names: string[]; text: string } {
  const names = spawnSync("tar", ["-tzf", file]).stdout.toString().trim().split("\n");
  return { names, text: spawnSync("tar", ["-xzOf", file]).stdout.toString() };
}

describe("attache bundle", () => {
  it(
    "collects what a report needs into an archive for its owner, without secrets",
    { tags: ["realtime"] },
    async () => {
      await using store = await directory.open();
      await store.report(declared("storefront"), {
        conditions: [],
        spiffeId: "spiffe://example.org/edge",
        mesh: `consul said ${token}`,
      });
      const file = join(directory.root, "out.tar.gz");
      const { status, stdout } = await command("bundle", "-c", config, "--file", file);
      expect(stdout).toContain("out.tar.gz: 4 files, no Secret was read");
      expect(status).toBe(0);
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      const { names, text } = contentOf(file);
      expect(names).toEqual(
        ["README.txt", "doctor.yaml", "identities.yaml", "settings.yaml"].map(
          (name) => `attache-bundle/${name}`,
        ),
      );
      expect(text).toContain("spiffe://example.org/edge");
      expect(text).toContain("adapter: consul");
      for (const secret of [token, "canary-note", "PRIVATE KEY"]) expect(text).not.toContain(secret);
    },
  );

  it("writes over nothing, and leaves nothing half written", async () => {
    const file = join(directory.root, "out.tar.gz");
    await writeFile(file, "mine");
    const { status, stderr } = await command("bundle", "-c", config, "--file", file);
    expect(stderr).toContain("out.tar.gz is there already");
    expect(status).toBe(2);
    expect(await readFile(file, "utf8")).toBe("mine");
    expect((await readdir(directory.root)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });
});

describe("the settings of a bundle", () => {
  it("show files and names, but no token, and no text of a plug-in", () => {
    const { text, secrets } = shownSettings(
      [
        "meshes:",
        `  consul: { adapter: consul, token: ${token}, tokenFile: /run/token, addresses: [consul.example] }`,
        "  other: { adapter: attache-other, trustDomain: example.org, pin: canary-pin-1234, retries: 3 }",
        "log: { level: debug }",
      ].join("\n"),
      "settings.yaml",
    );
    expect(secrets).toEqual([token, "canary-pin-1234"]);
    for (const kept of ["/run/token", "consul.example", "attache-other", "retries: 3", "level: debug"])
      expect(text).toContain(kept);
    for (const secret of secrets) expect(text).not.toContain(secret);
  });

  it.each(["meshes: [", "meshes: &all { all: *all }"])("are not shown where they are no YAML: %s", (text) => {
    expect(() => shownSettings(text, "settings.yaml")).toThrow(DocumentError);
  });
});
