import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const name = "attache-bench";

/**
 * Installs a mesh, by default the prepared one, as a plug-in beside settings in `folder`, and returns the settings of
 * a mesh that uses it. The plug-in is the built module itself, so that the process that loads it shares its state.
 * @param directory of its files
 */
export async function installMesh(
  folder: string,
  { module = join(import.meta.dirname, "prepared-mesh.js"), directory = folder } = {},
): Promise<object> {
  const target = join(folder, "node_modules", name);
  await mkdir(target, { recursive: true });
  await writeFile(
    join(target, "package.json"),
    JSON.stringify({ name, type: "module", exports: "./index.js" }),
  );
  await writeFile(join(target, "index.js"), `export * from ${JSON.stringify(pathToFileURL(module).href)};\n`);
  return { adapter: name, directory };
}
