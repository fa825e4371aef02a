import { constants, type Stats, watch } from "node:fs";
import { lstat, mkdir, open, readdir, readlink, stat } from "node:fs/promises";
import { Semaphore } from "../../runtime/semaphore.ts";
import { type FileFacts, factsOf } from "./folder-calls.ts";

/**
 * The file system as far as it is read and watched, and folders are made before the store's own is open: production
 * runs on {@link nodeFiles}, tests on one that fails. Paths are absolute; what is thrown is what `node:fs` throws.
 */
export interface Files {
  /** What is at `path`, a symlink as itself; nothing if nothing is there. */
  lstat(path: string): Promise<FileFacts | undefined>;
  /** What is at `path`, or where a symlink there leads to; nothing if nothing is there. */
  stat(path: string): Promise<FileFacts | undefined>;
  /** The names in a folder, in no order. */
  list(folder: string): Promise<string[]>;
  /** A text, and the facts of the very file that was read. @throws EFBIG if it is larger than `maxBytes`. */
  read(path: string, options: ReadOptions): Promise<FileText>;
  /** Makes a folder, 0700, where nothing is. */
  createFolder(path: string): Promise<void>;
  readlink(path: string): Promise<string>;
  /** Puts on the disk what was created in a folder. */
  sync(folder: string): Promise<void>;
  /**
   * Calls `listener` with the name in `folder` that changed, if the system tells it; `failed` once, when it
   * can no more.
   */
  watch(
    folder: string,
    listener: (name: string | undefined) => void,
    failed: (error: unknown) => void,
  ): Disposable;
}

export interface ReadOptions {
  readonly maxBytes: number;
  /** Whether a symlink at `path` is followed, or refused with ELOOP. */
  readonly followLinks: boolean;
}

export interface FileText {
  readonly text: string;
  readonly facts: FileFacts;
}

/** `work` for each file, so many at the same time. */
export function forEachFile<T, R>(items: Iterable<T>, work: (item: T) => Promise<R>): Promise<R[]> {
  return new Semaphore(8).map(items, work);
}

export const nodeFiles: Files = {
  lstat: (path) => factsUnlessAbsent(lstat(path)),
  stat: (path) => factsUnlessAbsent(stat(path)),
  list: (folder) => readdir(folder),
  async read(path, { maxBytes, followLinks }) {
    // O_NONBLOCK: a FIFO must not hold the store up.
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | (followLinks ? 0 : constants.O_NOFOLLOW);
    await using file = await open(path, flags);
    const facts = factsOf(await file.stat());
    if (facts.size > maxBytes) throw tooLarge(path, maxBytes);
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(facts.size), 0, facts.size, 0);
    return { text: buffer.toString("utf8", 0, bytesRead), facts };
  },
  createFolder: (path) => mkdir(path, { mode: 0o700 }),
  readlink: (path) => readlink(path),
  async sync(folder) {
    await using handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    await handle.sync();
  },
  watch(folder, listener, failed) {
    const watcher = watch(folder, (_, name) => listener(name ?? undefined));
    watcher.once("error", failed);
    return { [Symbol.dispose]: () => watcher.close() };
  },
};

/** A plain file of at most `maxBytes`; nothing if there is none. A larger file is not attaché's. */
export async function readPlainFile(
  files: Files,
  path: string,
  maxBytes: number,
): Promise<FileText | undefined> {
  const facts = await files.lstat(path);
  if (facts?.kind !== "file" || facts.size > maxBytes) return undefined;
  return files.read(path, { maxBytes, followLinks: false });
}

async function factsUnlessAbsent(stats: Promise<Stats>): Promise<FileFacts | undefined> {
  try {
    return factsOf(await stats);
  } catch (error) {
    if (isFileError(error) && (error.code === "ENOENT" || error.code === "ENOTDIR")) return undefined;
    throw error;
  }
}

function tooLarge(path: string, maxBytes: number): Error {
  return Object.assign(new Error(`${path} is larger than ${maxBytes} bytes`), { code: "EFBIG" });
}

/** Whether the operating system raised the error, and not attaché or Node. */
export function isFileError(error: unknown): error is Error & { readonly code: string } {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    /^E(?!RR_)[A-Z0-9]+$/.test(error.code)
  );
}
