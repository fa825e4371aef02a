import { readFile } from "node:fs/promises";
import { ApiError } from "./api-error.ts";

/** Something that authenticates, or the file that has it; a file is read again, for its content rotates. */
export type Material = { readonly text: string } | { readonly file: string };

/** @throws ApiError that names the file. */
export async function readMaterial(material: Material | undefined): Promise<string | undefined> {
  if (material === undefined) return undefined;
  if ("text" in material) return material.text;
  try {
    return await readFile(material.file, "utf8");
  } catch (cause) {
    const reason = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown error";
    throw new ApiError("ATTACHE_KUBERNETES_CONFIG", `${material.file} cannot be read (${reason})`, { cause });
  }
}
