import { rmSync } from "node:fs";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { apiVersion, kind } from "../api/mesh-certificate.ts";
import type { DevelopmentMesh } from "./development-meshes.ts";

/** The files of the demo, in the layout of a directory store. */
export interface Workspace extends Disposable {
  readonly root: string;
  readonly settingsFile: string;
  /** The folder that attaché publishes to. */
  readonly published: string;
}

export const namespace = "emissary";

/**
 * @param directory kept and reused; by default a new temporary one. It holds keys, and goes with the
 *   workspace, or with the process if that exits before.
 */
export async function makeWorkspace(directory: string | undefined): Promise<Workspace> {
  const root = directory === undefined ? await mkdtemp(join(tmpdir(), "attache-demo-")) : resolve(directory);
  const remove = () => rmSync(root, { recursive: true, force: true });
  if (directory === undefined) process.once("exit", remove);
  const published = join(root, "published");
  // The client looks at the folder before anything is published.
  await mkdir(join(published, namespace), { recursive: true, mode: 0o700 });
  return {
    ...{ root, published },
    settingsFile: join(root, "attache.yaml"),
    [Symbol.dispose]() {
      if (directory !== undefined) return;
      remove();
      process.off("exit", remove);
    },
  };
}

/** Writes the settings and the MeshCertificates, as a user would by hand. */
export async function writeSettings(
  { root, settingsFile }: Workspace,
  meshes: readonly DevelopmentMesh[],
): Promise<void> {
  const settings = {
    meshes: Object.fromEntries(meshes.map(({ name, settings }) => [name, { adapter: name, ...settings }])),
    store: {
      kind: "directory",
      directory: { path: "published", identities: ["identities.yaml"], pem: true },
    },
    server: { listen: "127.0.0.1:0" },
    console: { enabled: true, listen: "127.0.0.1:0" },
  };
  const identities = meshes.flatMap(({ name: mesh, workloads }) =>
    workloads.map(({ name, source }) => ({
      apiVersion,
      kind,
      metadata: { name, namespace },
      spec: { [mesh]: source },
    })),
  );
  await writeFile(settingsFile, stringify(settings), { mode: 0o600 });
  await writeFile(
    join(root, "identities.yaml"),
    identities.map((identity) => stringify(identity)).join("---\n"),
  );
}
