import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, external, releaseEntries } from "./bundle.ts";
import { packages } from "./image-tree.ts";

const repository = resolve(import.meta.dirname, "..");
let folder: string;
let sizes: ReadonlyMap<string, number>;

/** As in the image, with a plug-in's zod beside it. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-bundle-"));
  const installed = join(folder, "node_modules", "attache");
  await mkdir(installed, { recursive: true });
  await cp(join(repository, "package.json"), join(installed, "package.json"));
  await mkdir(join(installed, "node_modules"));
  for (const name of packages) {
    await cp(join(repository, "node_modules", name), join(installed, "node_modules", name), {
      recursive: true,
    });
  }
  await symlink(join(repository, "node_modules", "zod"), join(folder, "node_modules", "zod"));
  sizes = await bundle({ entries: await releaseEntries(), folder: join(installed, "dist") });
  // Of a second of CPU, on machines that have much else to do.
}, 120_000);

afterAll(() => rm(folder, { recursive: true }));

interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly code?: number;
}

/** Runs the bundled command. */
function run(args: readonly string[], nodeArgs: readonly string[] = []): Promise<Ended> {
  const main = join(folder, "node_modules/attache/dist/main.js");
  const options = { cwd: folder, env: { HOME: folder } };
  const child = promisify(execFile)(process.execPath, [...nodeArgs, main, ...args], options);
  return child.catch((error: unknown) => error as Ended);
}

describe("the bundled release", { tags: ["thorough"] }, () => {
  it("runs", async () => {
    expect((await run(["version"])).stdout).toMatch(/^attache \d/);
  });

  it("needs only the packages in the image: those outside of the bundle, with their dependencies", async () => {
    const lock = JSON.parse(await readFile(join(repository, "package-lock.json"), "utf8")) as {
      readonly packages: Record<string, { readonly dependencies?: Record<string, string> }>;
    };
    const needed = new Set(external);
    for (const name of needed) {
      const { dependencies = {} } = lock.packages[`node_modules/${name}`] ?? {};
      for (const dependency of Object.keys(dependencies)) needed.add(dependency);
    }
    expect(packages).toEqual([...needed].toSorted());
    const { stdout, stderr } = await run(["demo", "--duration", "1s", "--json"]);
    expect({ stdout, stderr }).toMatchObject({ stdout: expect.stringContaining('"failed":0') as string });
  });

  it("says which Node it needs before it loads anything", async () => {
    const older = 'Object.defineProperty(process.versions, "node", { value: "20.19.2" })';
    const hook = ["--import", `data:text/javascript,${encodeURIComponent(older)}`];
    const { stdout, stderr, code } = await run(["version"], hook);
    expect(stderr).toMatch(/^attache: attaché needs Node [\d.]+ or later, and this is Node 20\.19\.2 /);
    expect({ stdout, code }).toEqual({ stdout: "", code: 2 });
  });

  it("shares its modules with a plug-in: what the process throws is an instance of the plug-in's MeshError", async () => {
    const plugin = join(folder, "node_modules", "probe");
    await mkdir(plugin);
    await writeFile(
      join(plugin, "package.json"),
      JSON.stringify({ name: "probe", type: "module", exports: "./index.js" }),
    );
    await writeFile(
      join(plugin, "index.js"),
      `import { MeshError } from "attache/adapter";
       import { z } from "zod";
       export const adapter = {
         kind: "probe", settings: z.object({}), identity: z.object({}), defaults: { retainMs: 0 },
         expected: () => "spiffe://example.org/probe",
         async connect(_settings, { cluster }) {
           const configMap = cluster.configMap("any", new AbortController().signal);
           const error = await configMap[Symbol.asyncIterator]().next().catch((error) => error);
           console.log(error.code, error instanceof MeshError);
           process.exit();
         },
       };`,
    );
    await writeFile(join(folder, "attache.yaml"), "meshes: { probe: { adapter: probe } }\n");
    await writeFile(
      join(folder, "edge.yaml"),
      `apiVersion: attache.dev/v1alpha1
kind: MeshCertificate
metadata: { name: edge, namespace: edge }
spec: { mesh: probe, plugin: {} }
`,
    );
    expect(await run(["render", "edge.yaml", "--config", "attache.yaml"])).toMatchObject({
      stdout: "ATTACHE_MESH_CLUSTER true\n",
    });
  });

  it("loads neither the fetch nor the WebSocket of Node, as an import of node:http would", async () => {
    for (const name of [...sizes.keys()].filter((file) => file.endsWith(".js"))) {
      const code = await readFile(join(folder, "node_modules/attache/dist", name), "utf8");
      expect(code, name).not.toMatch(/(?:from|import) ?\(?"(?:node:)?http"/);
    }
    const seen = `process.on("exit", () => console.error(process.moduleLoadList.filter((one) => /deps.undici/.test(one))))`;
    const hook = ["--import", `data:text/javascript,${encodeURIComponent(seen)}`];
    expect((await run(["demo", "--duration", "1s", "--json"], hook)).stderr).toContain("[]\n");
  });

  it("loads the client of Kubernetes only where a kubeconfig is read, and little of it", async () => {
    const chunk = [...sizes.keys()].find((name) => /^chunks\/kubeconfig-.*\.js$/.test(name)) ?? "";
    const text = await readFile(join(folder, "node_modules/attache/dist", chunk), "utf8");
    expect(text).toContain("class KubeConfig");
    expect(sizes.get(chunk)).toBeLessThan(450 * 1024);
    const importing = [...sizes.keys()].filter((name) => name.endsWith(".js"));
    for (const name of importing) {
      const code = await readFile(join(folder, "node_modules/attache/dist", name), "utf8");
      expect(code, name).not.toMatch(new RegExp(`from "[^"]*${basename(chunk)}"`));
    }
  });

  it("gives the thread of a published folder a chunk of its own, which loads next to nothing", async () => {
    const chunk = [...sizes.keys()].find((name) => /^chunks\/folder-thread-.*\.js$/.test(name)) ?? "";
    const loaded = new Set([chunk]);
    for (const name of loaded) {
      const code = await readFile(join(folder, "node_modules/attache/dist", name), "utf8");
      for (const [, path = ""] of code.matchAll(/^(?:import|export)\b[^;]*"(\.[^"]+)"/gm)) {
        loaded.add(join(dirname(name), path));
      }
    }
    const bytes = [...loaded].map((name) => sizes.get(name) ?? NaN);
    expect(bytes.reduce((sum, size) => sum + size)).toBeLessThan(32 * 1024);
  });
});
