import { existsSync } from "node:fs";
import { glob, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseMeshCertificates } from "../src/api/parse.ts";
import { checkMeshes } from "../src/app/meshes.ts";
import { program } from "../src/cli/program.ts";
import { loadSettings } from "../src/config/load.ts";

const root = join(import.meta.dirname, "..");
const pages = await Array.fromAsync(
  glob(["*.md", "{docs,adapters,deploy,test}/**/*.md"], { cwd: root, exclude: ["**/node_modules/**"] }),
);

const examples = async () =>
  Promise.all(
    (await Array.fromAsync(glob("deploy/helm/attache/examples/*.yaml", { cwd: root }))).map(textOf),
  );

const textOf = (page: string) => readFile(join(root, page), "utf8");

describe.each(pages.toSorted())("%s", (page) => {
  it("has links that lead somewhere", async () => {
    const links = (await textOf(page)).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g);
    for (const [link, path = "", anchor] of links) {
      const target = path === "" ? page : join(dirname(page), path);
      expect(existsSync(join(root, target)), link).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(await textOf(target)), link).toContain(anchor);
    }
  });

  it("has YAML that attaché takes", async () => {
    const folder = await mkdtemp(join(tmpdir(), "attache-docs-"));
    for (const yaml of yamlIn(await textOf(page))) {
      if (/^kind: MeshCertificate$/m.test(yaml))
        expect(await parseMeshCertificates(yaml, page)).not.toEqual([]);
      if (!/^(?:meshes|store|server|allow):/m.test(yaml)) continue;
      // Values of the chart: test/peers/helm installs them.
      if (/^ {4}enabled: true$/m.test(yaml)) {
        expect(await examples(), yaml).toContain(yaml);
        continue;
      }
      const file = join(folder, "attache.yaml");
      await writeFile(file, yaml);
      // A plug-in is not installed here.
      const loaded = await loadSettings(file);
      if (!yaml.includes("@acme/")) await checkMeshes(loaded);
    }
    await rm(folder, { recursive: true });
  });

  it("names commands that there are", async () => {
    const known = program().commands.map((command) => command.name());
    for (const [, name = ""] of (await textOf(page)).matchAll(/`attache ([a-z]+)/g))
      expect(known).toContain(name);
  });
});

describe("the threats of docs/security.md", async () => {
  const rows = (await textOf("docs/security.md"))
    .split("\n")
    .filter((line) => /^\|.*\.test\.ts\)/.test(line));
  const tests = rows.flatMap((row) =>
    [...row.matchAll(/\]\(\.\.\/([^)]+\.test\.ts)\) `([^`]+)`/g)].map(([, file = "", title = ""]) => ({
      file,
      title,
    })),
  );

  it("each have a test", () => {
    expect(rows.length).toBeGreaterThan(8);
    expect(tests.length).toBeGreaterThanOrEqual(rows.length);
  });

  it.each(tests)("are shown by $file: $title", async ({ file, title }) => {
    const titles = [...(await textOf(file)).matchAll(/(?:\bit|\bdescribe|\])\)?\(\s*["`](.*)["`]/g)].map(
      ([, one]) => one,
    );
    expect(titles.filter((one) => one?.includes(title))).not.toEqual([]);
  });
});

function yamlIn(text: string): string[] {
  return [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, yaml = ""]) => yaml);
}

/** As GitHub makes them of headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(" ", "-"),
  );
}
