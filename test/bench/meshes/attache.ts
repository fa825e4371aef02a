import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Guarded, startGuarded } from "../../peers/guarded.ts";
import { imageEnvironment, imageFlags } from "../environment.ts";
import type { FileSet } from "./reader.ts";
import { processWith } from "./usage.ts";

export interface Running extends AsyncDisposable {
  readonly pid: number;
  readonly program: Guarded;
}

export interface AttacheOptions {
  /** A folder of its own. */
  readonly folder: string;
  /** Of the one mesh, `adapter` included. */
  readonly mesh: object;
  /** Under what name the identities stand in a spec: `consul`. */
  readonly kind: string;
  /** By the name of the MeshCertificate. */
  readonly identities: Readonly<Record<string, object>>;
  readonly pem?: boolean;
}

/** `attache run` as it was built, in a process of its own, with a directory store. */
export async function startAttache(options: AttacheOptions): Promise<Running> {
  const { folder, mesh, kind, identities, pem = true } = options;
  const file = join(folder, "attache.yaml");
  const directory = { path: published(folder), identities: [join(folder, "identities")], pem };
  await mkdir(join(folder, "identities"), { recursive: true });
  await writeFile(
    file,
    JSON.stringify({
      meshes: { mesh },
      store: { kind: "directory", directory },
      server: { listen: "127.0.0.1:0" },
      log: { level: "warn" },
    }),
  );
  const documents = Object.entries(identities).map(([name, identity]) =>
    JSON.stringify({
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshCertificate",
      metadata: { name, namespace: "bench" },
      spec: { mesh: "mesh", [kind]: identity },
    }),
  );
  await writeFile(join(folder, "identities", "all.yaml"), documents.join("\n---\n"));
  return runAttache(join(import.meta.dirname, "../../../dist/bench/src/main.js"), file);
}

/** With the settings of `file`, in the environment and with the flags of the image. @param main that was built */
export async function runAttache(main: string, file: string): Promise<Running> {
  const args = [...imageFlags, main, "run", "--config", file];
  return guarded(startGuarded(process.execPath, args, { env: imageEnvironment }), file);
}

/** Resolves when the program is there, which `argument` is one of. */
export async function guarded(program: Guarded, argument: string): Promise<Running> {
  let pid = 0;
  await program.until(async () => {
    pid = await processWith(argument).catch(() => 0);
    return pid !== 0;
  }, "its start");
  return { pid, program, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

export function published(folder: string): string {
  return join(folder, "published");
}

/** What a consumer reads of one identity, as docs/directory-store.md says. */
export function setOf(folder: string, identity: string, name = "attaché"): FileSet {
  const set = join(published(folder), "bench", `pem-${identity}`);
  return { name, folder: set, link: "current", key: "tls.key", chain: "tls.crt", roots: "ca.crt" };
}
