import { chmod, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createDirectory, declared, type Directory } from "../../../test/fixtures/directory.ts";
import { annotateFile } from "./annotate-file.ts";

let directory: Directory;

beforeEach(async () => {
  directory = await createDirectory();
});

afterEach(() => directory[Symbol.asyncDispose]());

const head = "apiVersion: attache.dev/v1alpha1\nkind: MeshCertificate\n";
const spec = "spec: { consul: { service: web } }\n";

/** The file afterwards. */
async function annotated(text: string, file = "a.yaml"): Promise<string> {
  const path = join(directory.identities, file);
  await writeFile(path, text);
  await annotateFile([directory.identities], declared("web"), "attache.dev/renew", "now");
  return readFile(path, "utf8");
}

it("writes the annotation into the one document, and keeps comments, others and long lines", async () => {
  const other = `${head}metadata: { name: api, namespace: emissary }\n${spec}`;
  const long = `# ${"long ".repeat(40)}\n`;
  const text = `${long}${head}metadata:\n  name: web # ours\n  namespace: emissary\n${spec}---\n${other}`;
  expect(await annotated(text)).toBe(
    `${long}${head}metadata:\n  name: web # ours\n  namespace: emissary\n  annotations:\n    attache.dev/renew: now\n${spec}---\n${other}`,
  );
});

it.each([
  ["metadata: { name: web, namespace: emissary, annotations: }\n", "annotations: { attache.dev/renew: now }"],
  [
    "metadata:\n  name: web\n  namespace: emissary\n  annotations: { attache.dev/renew: before, mine: stays }\n",
    "annotations: { attache.dev/renew: now, mine: stays }",
  ],
])("replaces what was there: %j", async (metadata, expected) => {
  expect(await annotated(`${head}${metadata}${spec}`)).toContain(expected);
});

it("finds it in a list, and leaves JSON JSON", async () => {
  const item = (name: string) => ({
    apiVersion: "attache.dev/v1alpha1",
    kind: "MeshCertificate",
    metadata: { name, namespace: "emissary" },
    spec: { consul: { service: name } },
  });
  const list = { apiVersion: "v1", kind: "List", items: [item("api"), item("web")] };
  const text = await annotated(JSON.stringify(list), "a.json");
  expect(JSON.parse(text)).toEqual({
    ...list,
    items: [
      item("api"),
      { ...item("web"), metadata: { ...item("web").metadata, annotations: { "attache.dev/renew": "now" } } },
    ],
  });
});

it("keeps mode and links, and leaves nothing beside", async () => {
  const real = join(directory.root, "real.yaml");
  await writeFile(real, `${head}metadata: { name: web, namespace: emissary }\n${spec}`);
  await chmod(real, 0o640);
  await symlink(real, join(directory.identities, "a.yaml"));
  await annotateFile([directory.identities], declared("web"), "attache.dev/renew", "now");
  expect((await stat(real)).mode & 0o777).toBe(0o640);
  expect(await readFile(real, "utf8")).toContain("attache.dev/renew: now");
  expect(await readdir(directory.identities)).toEqual(["a.yaml"]);
});

it("says that no file has it", async () => {
  await expect(annotated(`${head}metadata: { name: api, namespace: emissary }\n${spec}`)).rejects.toThrow(
    "no file has the MeshCertificate emissary/web any more",
  );
});
