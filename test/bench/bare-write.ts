import { mkdir, open, rename } from "node:fs/promises";
import { join } from "node:path";

/**
 * What a durable replacement of one file costs at least: temporary file, fsync, rename, fsync of the folder.
 */
export async function bareWrite(folder: string, text: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const temporary = join(folder, "temporary");
  {
    await using file = await open(temporary, "w", 0o600);
    await file.writeFile(text);
    await file.sync();
  }
  await rename(temporary, join(folder, "file"));
  await using handle = await open(folder, "r");
  await handle.sync();
}
