import { createHash } from "node:crypto";
import { type FSWatcher, watch } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";

/**
 * Watches the published folder from outside, as `inotifywait` does, and counts writes that change nothing.
 */
interface Onlooker extends Disposable {
  /** Files that were written or replaced. */
  readonly writes: number;
  /** Writes that did not change the content. */
  readonly noopWrites: number;
}

/** @param onWrite called after each write, with the file's name. */
export function lookOn(folder: string, onWrite: (file: string) => void): Onlooker {
  const seen = new Map<string, { readonly inode: number; readonly hash: string }>();
  let looking = Promise.resolve();

  async function look(file: string): Promise<void> {
    const path = join(folder, file);
    const { ino: inode } = await stat(path);
    const before = seen.get(file);
    if (before?.inode === inode) return;
    const hash = createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
    seen.set(file, { inode, hash });
    onlooker.writes += 1;
    if (before?.hash === hash) onlooker.noopWrites += 1;
    onWrite(file);
  }

  const watcher: FSWatcher = watch(folder, (_event, file) => {
    // A temporary file may be gone by now and does not count.
    if (file?.endsWith(".yaml") === true) looking = looking.then(() => look(file)).catch(() => undefined);
  });
  const onlooker = { writes: 0, noopWrites: 0, [Symbol.dispose]: () => watcher.close() };
  return onlooker;
}
