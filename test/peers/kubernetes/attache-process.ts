import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Guarded, startGuarded } from "../guarded.ts";
import { freePorts } from "../ports.ts";

/** attaché as it is run in a cluster, in a process of its own. */
export interface AttacheProcess extends Guarded {
  /** The sum of a metric's samples; 0 while there are none, or without an answer. */
  metric(name: string): Promise<number>;
  /** Gives it other settings, which it takes up by itself. */
  configure(settings: object): Promise<void>;
  probe(path: "/livez" | "/readyz"): Promise<number>;
  /** Where it serves, on all addresses of the machine. */
  readonly port: number;
  /** What its settings file has now. */
  settings(): Promise<string>;
  /** The lines of `/readyz?verbose`. */
  findings(): Promise<readonly string[]>;
}

const repository = resolve(import.meta.dirname, "../../..");

/**
 * @param settings as in the settings file; `server` is given here, and the plug-in of `signer.ts` is
 * installed.
 */
export async function startAttacheProcess(settings: object): Promise<AttacheProcess> {
  const [port = 0] = await freePorts(1);
  const folder = await mkdtemp(join(tmpdir(), "attache-process-"));
  const modules = join(folder, "node_modules");
  await mkdir(modules);
  await cp(join(import.meta.dirname, "signer"), join(modules, "attache-signer"), { recursive: true });
  await symlink(repository, join(modules, "attache"));
  await symlink(join(repository, "node_modules/zod"), join(modules, "zod"));
  const file = join(folder, "attache.yaml");
  const configure = (changed: object) =>
    writeFile(file, JSON.stringify({ ...changed, server: { listen: `0.0.0.0:${port}` } }));
  await configure(settings);
  const main = join(repository, "src/main.ts");
  const guarded = startGuarded(process.execPath, ["--conditions=development", main, "run", "--config", file]);
  const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);

  return {
    ...guarded,
    port,
    settings: () => readFile(file, "utf8"),
    async configure(changed) {
      await configure(changed);
      guarded.signal("SIGHUP");
    },
    async metric(name) {
      const answer = await get("/metrics");
      const samples = [...((await answer?.text()) ?? "").matchAll(/^(\w+)(?:\{.*\})? (\S+)$/gm)];
      return samples.filter(([, of]) => of === name).reduce((sum, [, , value]) => sum + Number(value), 0);
    },
    findings: async () => ((await (await get("/readyz?verbose"))?.text()) ?? "").split("\n"),
    probe: async (path) => (await get(path))?.status ?? 0,
    async [Symbol.asyncDispose]() {
      await guarded[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}
