import { hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { z } from "zod";
import { distrusted } from "../runtime/trusted-path.ts";
import { DocumentError } from "../text/yaml/document-error.ts";
import { parseYaml } from "../text/yaml/document.ts";
import { explain } from "../text/yaml/explain.ts";
import { type Override, override } from "./overrides.ts";
import { coreMeshSettings, settings, type Settings } from "./settings.ts";

export interface LoadedSettings {
  readonly settings: Settings;
  /** SHA-256 of the file's text, in hex. */
  readonly digest: string;
  readonly file: string;
  /** The folder of the settings file: relative paths and plug-ins are looked for here. */
  readonly directory: string;
  /**
   * The adapter's own settings of a mesh.
   * @throws DocumentError naming the places in the file.
   */
  meshSettings<S>(name: string, schema: z.ZodType<S>): S;
}

/**
 * Reads the settings file and lays the overrides over it, the later ones over the earlier.
 * @throws DocumentError naming file, line and column, or the variable or flag.
 */
export async function loadSettings(
  file: string,
  overrides: readonly Override[] = [],
): Promise<LoadedSettings> {
  return parseSettings(await read(file), file, overrides);
}

/**
 * As {@link loadSettings}, of the text that `file` has.
 * @throws DocumentError
 */
export function parseSettings(
  text: string,
  file: string,
  overrides: readonly Override[] = [],
): LoadedSettings {
  // Read at the start, when nothing else waits.
  const documents = parseYaml(text, file, { maxTokens: Infinity });
  const [document = { value: {}, place: () => file }, second] = documents;
  if (second !== undefined) {
    throw new DocumentError([{ place: second.place([]), path: "", message: "a second document: remove it" }]);
  }
  const { value, placeOf } = override(document, overrides, settings);
  const parsed = settings.safeParse(value, { reportInput: true });
  if (!parsed.success) throw new DocumentError(explain(parsed.error.issues, settings, placeOf));
  const directory = dirname(resolve(file));
  return {
    settings: withPaths(parsed.data, directory),
    digest: hash("sha256", text),
    file: resolve(file),
    directory,
    meshSettings(name, schema) {
      // Again, as only the adapter's schema says which settings are text.
      const { value: written } = override(
        { value: adaptersPart(parsed.data.meshes[name]), place: () => "" },
        overridesOf(name, overrides),
        schema,
      );
      const own = schema.safeParse(written, { reportInput: true });
      if (own.success) return own.data;
      const under = (path: readonly PropertyKey[]) => placeOf(["meshes", name, ...path]);
      const problems = explain(own.error.issues, schema, under);
      throw new DocumentError(problems.map((one) => ({ ...one, path: `meshes.${name}.${one.path}` })));
    },
  };
}

function overridesOf(mesh: string, overrides: readonly Override[]): Override[] {
  return overrides.flatMap(({ path: [first, second, ...path], ...one }) => {
    const [key] = path;
    const isOwn = first === "meshes" && second === mesh && key !== undefined && !coreMeshSettings.has(key);
    return isOwn ? [{ ...one, path }] : [];
  });
}

/** The keys of a mesh's entry that belong to the adapter. */
function adaptersPart(mesh: object = {}): unknown {
  return Object.fromEntries(Object.entries(mesh).filter(([name]) => !coreMeshSettings.has(name)));
}

function withPaths(parsed: Settings, base: string): Settings {
  const { directory, kubernetes } = parsed.store;
  const { kubeconfig } = kubernetes;
  const paths = {
    path: resolve(base, directory.path),
    identities: directory.identities.map((path) => resolve(base, path)),
  };
  return {
    ...parsed,
    plugins: { directory: resolve(base, parsed.plugins.directory) },
    store: {
      ...parsed.store,
      directory: { ...directory, ...paths },
      kubernetes: {
        ...kubernetes,
        ...(kubeconfig !== undefined && { kubeconfig: resolve(base, kubeconfig) }),
      },
    },
  };
}

/** Settings say which code runs and who gets which identity. */
async function read(file: string): Promise<string> {
  const distrust = await distrusted(file);
  if (distrust !== undefined) {
    const message = `${distrust.problem}: the settings are not read. ${distrust.remedy}`;
    throw new DocumentError([{ place: file, path: "", message }]);
  }
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `the settings file cannot be read (${reason}); select another with --config FILE`;
    throw new DocumentError([{ place: file, path: "", message }]);
  }
}
