import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const name = "attache-bench";

/**
 * Installs the prepared mesh as a plug-in beside settings in `folder`, and returns the settings of a mesh that uses
 * it. The plug-in is this process's own module, whose counters the scenarios read.
 */
export async function installPreparedMesh(folder: string): Promise<object> {
  const target = join(folder, "node_modules", name);
  const module = pathToFileURL(join(import.meta.dirname, "prepared-mesh.js"));
  await mkdir(target, { recursive: true });
  await writeFile(
    join(target, "package.json"),
    JSON.stringify({ name, type: "module", exports: "./index.js" }),
  );
  await writeFile(join(target, "index.js"), `export * from ${JSON.stringify(module.href)};\n`);
  return { adapter: name, directory: folder };
}
