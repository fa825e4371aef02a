import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { isAbsolute, join } from "node:path";
import { pathToFileURL } from "node:url";
import { z, type ZodType } from "zod";
import type { Adapter } from "../mesh/port.ts";
import { distrusted } from "../runtime/trusted-path.ts";
import { didYouMean } from "../text/did-you-mean.ts";
import { MeshError } from "../mesh/errors.ts";

/**
 * Loads the adapter that an npm module exports as `adapter`.
 *
 * @param name as in an import: `@acme/attache-nomad`.
 * @param directory in whose `node_modules` it is, and in no folder around it.
 * @param builtIn the names that could have been meant instead.
 * @throws MeshError `ATTACHE_MESH_UNKNOWN` if there is no such module; `ATTACHE_MESH_PLUGIN` if it cannot be
 *   loaded or exports no adapter.
 */
export async function loadPlugin(
  name: string,
  directory: string,
  builtIn: readonly string[] = [],
): Promise<Adapter<unknown, unknown>> {
  const path = resolve(name, directory, builtIn);
  const installed = join(directory, "node_modules", packageOf(name));
  const distrust = (await distrusted(installed)) ?? (await distrusted(path));
  if (distrust !== undefined) throw notAnAdapter(name, distrust.problem, { remedy: distrust.remedy });
  const { adapter } = await load(name, path);
  const { error } = shape.safeParse(adapter);
  if (error !== undefined) {
    const problems = error.issues.map((issue) => `${["adapter", ...issue.path].join(".")}: ${issue.message}`);
    throw notAnAdapter(name, `it exports no adapter of our port; ${problems.join(", ")}`);
  }
  return adapter as Adapter<unknown, unknown>;
}

function resolve(name: string, directory: string, builtIn: readonly string[]): string {
  let path: string;
  // A name alone: no path, and no folder above, in which others may be able to write.
  const isInstalled =
    /^(?:@[\w.-]+\/)?[\w-][\w./-]*$/.test(name) &&
    !name.split("/").includes("..") &&
    existsSync(join(directory, "node_modules", packageOf(name)));
  if (!isInstalled) throw notFound(name, directory, builtIn);
  try {
    path = createRequire(join(directory, "settings.yaml")).resolve(name);
  } catch (cause) {
    if (isCoded(cause) && cause.code === "ERR_PACKAGE_PATH_NOT_EXPORTED") {
      throw notAnAdapter(name, "its package.json exports nothing under this name", {
        remedy: 'Correct the name, or give the module\'s `exports` a "default" condition.',
        cause,
      });
    }
    throw notFound(name, directory, builtIn, { cause });
  }
  // Without a path it is a module of Node itself, such as "process".
  if (!isAbsolute(path)) throw notFound(name, directory, builtIn);
  return path;
}

/** `@acme/attache-nomad` of `@acme/attache-nomad/adapter`. */
function packageOf(name: string): string {
  return name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");
}

async function load(name: string, path: string): Promise<{ readonly adapter?: unknown }> {
  try {
    return (await import(/* @vite-ignore */ pathToFileURL(path).href)) as { readonly adapter?: unknown };
  } catch (cause) {
    throw notAnAdapter(
      name,
      `loading ${path} failed: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        remedy: "Look at the module's own documentation and versions; it must be JavaScript, not TypeScript.",
        cause,
      },
    );
  }
}

/** By its shape and not by its class: a plug-in may bring its own copy of `zod` and of `attache/adapter`. */
const shape = z.object({
  kind: z.string().min(1),
  settings: z.custom<ZodType>(isSchema, "must be a zod schema"),
  identity: z.custom<ZodType>(isSchema, "must be a zod schema"),
  defaults: z.object({ retainMs: z.number().nonnegative(), alpnProtocols: z.string().optional() }),
  expected: z.custom(isFunction, "must be a function"),
  connect: z.custom(isFunction, "must be a function"),
});

function isSchema(value: unknown): boolean {
  return typeof value === "object" && value !== null && "safeParse" in value && isFunction(value.safeParse);
}

function isFunction(value: unknown): boolean {
  return typeof value === "function";
}

function isCoded(error: unknown): error is Error & { readonly code: unknown } {
  return error instanceof Error && "code" in error;
}

function notFound(
  name: string,
  directory: string,
  builtIn: readonly string[],
  options: { readonly cause?: unknown } = {},
): MeshError {
  const meant = didYouMean(name, builtIn);
  const known = builtIn.length > 0 ? ` (built in are ${builtIn.join(", ")})` : "";
  const remedy =
    meant === undefined
      ? `Correct the name${known}. A plug-in must be installed in ${directory}: the setting plugins.directory.`
      : `Did you mean "${meant}"?`;
  return new MeshError(
    "ATTACHE_MESH_UNKNOWN",
    `there is no adapter "${name}", neither built in nor as a module`,
    {
      ...options,
      remedy,
    },
  );
}

function notAnAdapter(
  name: string,
  problem: string,
  options: { remedy?: string; cause?: unknown } = {},
): MeshError {
  return new MeshError("ATTACHE_MESH_PLUGIN", `the plug-in "${name}": ${problem}`, options);
}
