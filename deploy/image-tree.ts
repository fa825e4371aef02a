/**
 * `node deploy/image-tree.ts FOLDER`, after `npm run build`: what the image adds to its base. Equal sources give equal
 * files, also with another date.
 */
import { execFile } from "node:child_process";
import { chmod, cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const root = join(import.meta.dirname, "..");

/** The native addon that the bundle leaves out, and the packages that find it. */
export const packages = [
  "bare-addon-resolve",
  "bare-module-resolve",
  "bare-semver",
  "fs-native-extensions",
  "require-addon",
  "which-runtime",
];

/** Where Node is in the image; the command names it, as there is no `env`. */
const node = "/usr/local/bin/node";

/** Writes the tree to `folder`. */
export async function imageTree(folder: string): Promise<void> {
  const home = join(folder, "attache");
  await copy(process.execPath, join(folder, node));
  await copy(join(root, "package.json"), join(home, "package.json"));
  await copy(join(root, "LICENSE"), join(home, "LICENSE"));
  await copy(join(root, "dist"), join(home, "dist"));
  for (const name of packages) {
    await copy(join(root, "node_modules", name), join(home, "node_modules", name));
  }
  const main = join(home, "dist/main.js");
  await writeFile(main, withInterpreter(await readFile(main, "utf8")));
  await chmod(main, 0o755);
  await symlink("/attache/dist/main.js", join(folder, "usr/local/bin/attache"));
  await writeFile(join(home, "sbom.cdx.json"), await sbom());
}

async function copy(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await cp(from, to, { recursive: true, dereference: true });
}

export function withInterpreter(script: string): string {
  return script.replace(/^#!.*$/m, `#!${node}`);
}

interface Sbom extends Record<string, unknown> {
  readonly metadata: Readonly<Record<string, unknown>> & { readonly component: object };
}

/** The packages that are in the image, as CycloneDX; without what npm gives each one: date and number. */
export async function sbom(): Promise<string> {
  const args = ["sbom", "--sbom-format", "cyclonedx", "--omit", "dev", "--package-lock-only"];
  const { stdout } = await promisify(execFile)("npm", args, { cwd: root, maxBuffer: 2 ** 26 });
  const { serialNumber: _number, metadata, ...rest } = JSON.parse(stdout) as Sbom;
  const { timestamp: _date, component, ...described } = metadata;
  // npm takes the name of the folder.
  const named = { ...described, component: { ...component, name: "attache" } };
  return `${JSON.stringify({ ...rest, metadata: named }, null, 2)}\n`;
}

if (import.meta.main) await imageTree(process.argv[2] ?? "image");
