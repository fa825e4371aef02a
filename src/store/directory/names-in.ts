import { reading } from "./file-errors.ts";
import type { Files } from "./files.ts";

/** What is in one of our own folders; nothing if there is no such folder. No link is followed. */
export async function namesIn(files: Files, folder: string): Promise<string[]> {
  return reading(folder, async () => {
    const facts = await files.lstat(folder);
    return facts?.kind === "folder" ? files.list(folder) : [];
  });
}
