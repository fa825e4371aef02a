/**
 * `npm run build`: one tree-shaken bundle in `dist`, whose entries share their modules, so that `attache/adapter` is the
 * running process's own. `bundle.ts bench` bundles the benchmarks in the same way, into `dist/bench`.
 */
import { chmod, glob, readFile, rm } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import http from "node:http";
import { type Plugin, rolldown } from "rolldown";
import { consoleAssets } from "./console-assets.ts";

const root = join(import.meta.dirname, "..");

/** Has a native addon, which must stand beside the bundle. */
export const external = ["fs-native-extensions"];

interface Export {
  readonly development?: string;
}

export interface BundleOptions {
  /** Source file by name of the entry, e.g. `src/main.ts` by `main`. */
  readonly entries: Readonly<Record<string, string>>;
  readonly folder: string;
  /** Sources whose `import.meta.dirname` is that of their entry, also when they become part of a chunk. */
  readonly atTheirPlace?: RegExp;
}

/** Writes entries, lazily loaded chunks and source maps; gives the size of each file in bytes. */
export async function bundle({
  entries,
  folder,
  atTheirPlace,
}: BundleOptions): Promise<ReadonlyMap<string, number>> {
  await using build = await rolldown({
    cwd: root,
    input: entries,
    platform: "node",
    external,
    plugins: [builtPage, plainHttp, ...(atTheirPlace ? [placing(atTheirPlace, folder)] : [])],
    // It says nothing of itself, and only its KubeConfig is used: the rest is generated clients of the whole API.
    treeshake: { moduleSideEffects: [{ test: /\/@kubernetes\/client-node\//, sideEffects: false }] },
    // Of a package's own, on how it is built: nothing to act on here.
    logLevel: "silent",
    onLog: (_level, log) => {
      if (log.code === "UNRESOLVED_IMPORT") throw new Error(log.message);
    },
  });
  const { output } = await build.write({
    dir: folder,
    cleanDir: true,
    chunkFileNames: "chunks/[name]-[hash].js",
    sourcemap: true,
    sourcemapExcludeSources: true,
    comments: { legal: true, annotation: false, jsdoc: false },
  });
  return new Map(
    output.map((one) => [
      one.fileName,
      Buffer.byteLength(one.type === "chunk" ? one.code : one.source.toString()),
    ]),
  );
}

/** The command and what package.json exports: each export names its source under `development`. */
export async function releaseEntries(): Promise<Record<string, string>> {
  const text = await readFile(join(root, "package.json"), "utf8");
  const { exports } = JSON.parse(text) as { readonly exports: Readonly<Record<string, Export>> };
  const entries: Record<string, string> = { main: "src/main.ts" };
  for (const [name, { development }] of Object.entries(exports)) {
    if (development !== undefined) entries[name.slice(2)] = development;
  }
  return entries;
}

async function benchEntries(): Promise<Record<string, string>> {
  const entries: Record<string, string> = { "src/main": "src/main.ts" };
  for await (const file of glob("test/bench/{,kubernetes/}*.ts", { cwd: root })) {
    entries[file.slice(0, -".ts".length)] = file;
  }
  return entries;
}

/** The page of the console as text, in a chunk that is loaded where it is served. */
const builtPage: Plugin = {
  name: "built page",
  resolveId: { filter: { id: /^#console-assets$/ }, handler: () => "console-page" },
  load: {
    filter: { id: /^console-page$/ },
    handler: async () =>
      `export const consoleAssets = async () => (${JSON.stringify(await consoleAssets())});`,
  },
};

/**
 * An import of node:http reads all that it exports, and with that loads the fetch and the WebSocket of Node, which nothing
 * here uses: 75 modules, some 30 ms of CPU at each start, and 3 MB.
 */
const plainHttp: Plugin = {
  name: "plain http",
  resolveId: {
    filter: { id: /^(?:node:)?http$/ },
    handler: (_id, _importer, { kind }) => (kind === "require-call" ? undefined : "plain-http"),
  },
  load: {
    filter: { id: /^plain-http$/ },
    handler() {
      const properties = Object.entries(Object.getOwnPropertyDescriptors(http));
      const names = properties.flatMap(([name, { value }]) => (value === undefined ? [] : name));
      return `const http = process.getBuiltinModule("node:http"); export default http; export const { ${names.join(", ")} } = http;`;
    },
  },
};

function placing(id: RegExp, folder: string): Plugin {
  return {
    name: "placing",
    transform: {
      filter: { id },
      handler(code, file) {
        const place = join(folder, relative(root, dirname(file)));
        return code.replaceAll("import.meta.dirname", JSON.stringify(place));
      },
    },
  };
}

if (import.meta.main) {
  if (process.argv[2] === "bench") {
    const folder = join(root, "dist/bench");
    await bundle({ entries: await benchEntries(), folder, atTheirPlace: /\/test\/bench\// });
  } else {
    const folder = join(root, "dist");
    await rm(folder, { recursive: true, force: true });
    await bundle({ entries: await releaseEntries(), folder });
    await chmod(join(folder, "main.js"), 0o755);
  }
}
