import {
  chmodSync,
  closeSync,
  constants,
  fsync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  type Stats,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { promisify } from "node:util";

/** A folder that a process keeps others off, and how it is reached. */
export interface HeldRoot {
  /** As it was named. */
  readonly path: string;
  /** The same folder by its handle, wherever it is moved to; where the system has no such path, `path` itself. */
  readonly via: string;
  /** Where `path` and the lock in it led to when the folder was opened. */
  readonly seen: string;
}

/**
 * Short calls without a promise each, for a thread that nothing else waits for. Paths are absolute; what is below the
 * held folder is reached through its handle.
 */
export interface FolderCalls {
  /** Whether the folder is where it was opened: if not, what is written there is lost to its readers. */
  isHeld(): boolean;
  /** What is at `path`, a symlink as itself; nothing if nothing is there. */
  lstat(path: string): FileFacts | undefined;
  list(folder: string): string[];
  /** What a symlink leads to; nothing if there is none. */
  readlink(path: string): string | undefined;
  /** Whether a plain file, private to attaché's user, holds this text. */
  holds(path: string, text: string): boolean;
  /** Makes a file, 0600, where nothing is. */
  create(path: string, text: string): void;
  /** Gives a file a second name. Not every file system can. */
  link(file: string, path: string): void;
  /** Makes a folder, 0700, where nothing is. */
  createFolder(path: string): void;
  symlink(target: string, path: string): void;
  chmod(path: string, mode: number): void;
  rename(from: string, to: string): void;
  /** Removes a file, a symlink, or a folder with all that is in it; nothing is done if nothing is there. */
  remove(path: string): void;
  /** Puts on the disk what files hold, and what was created, renamed and removed in folders. */
  sync(path: string): Promise<void>;
}

/** The only call that waits for the disk, which takes many at once in the time of one. */
const fsyncLater = promisify(fsync);

export interface FileFacts {
  readonly kind: "file" | "folder" | "link" | "other";
  /** The permission bits. */
  readonly mode: number;
  readonly size: number;
  readonly uid: number;
  readonly dev: number;
  readonly ino: number;
  readonly mtimeMs: number;
  /** Tells a file from a later one of the same number. */
  readonly birthtimeMs: number;
}

/** Whether only attaché's user may read a file or folder of this mode. */
export function isPrivate(mode: number): boolean {
  return (mode & 0o077) === 0;
}

/** Changes whenever a file is written or its mode is set; a rename keeps it. */
export function stampOf({ kind, mode, size, dev, ino, mtimeMs }: FileFacts): string {
  return [kind, mode.toString(8), size, dev, ino, mtimeMs].join(":");
}

export function folderCalls(root: HeldRoot): FolderCalls {
  const at = (path: string) => placeIn(root, path);
  return {
    isHeld: () => seenAt(root.path) === root.seen,
    lstat: (path) => lookAt(at(path)),
    list: (folder) => readdirSync(at(folder)),
    readlink: (path) => unless(["ENOENT", "ENOTDIR", "EINVAL"], () => readlinkSync(at(path))),
    holds(path, text) {
      const facts = lookAt(at(path));
      if (facts?.kind !== "file" || !isPrivate(facts.mode)) return false;
      if (facts.size !== Buffer.byteLength(text)) return false;
      const flag = constants.O_RDONLY | constants.O_NOFOLLOW;
      return readFileSync(at(path), { encoding: "utf8", flag }) === text;
    },
    create(path, text) {
      writeFileSync(at(path), text, { flag: "wx", mode: 0o600 });
    },
    link: (file, path) => linkSync(at(file), at(path)),
    createFolder: (path) => mkdirSync(at(path), { mode: 0o700 }),
    symlink: (target, path) => symlinkSync(target, at(path)),
    chmod: (path, mode) => chmodSync(at(path), mode),
    rename: (from, to) => renameSync(at(from), at(to)),
    remove: (path) => rmSync(at(path), { recursive: true, force: true }),
    async sync(path) {
      const file = openSync(at(path), constants.O_RDONLY | constants.O_NOFOLLOW);
      try {
        await fsyncLater(file);
      } finally {
        closeSync(file);
      }
    },
  };
}

/** By what a path below the folder is reached. */
export function placeIn({ path: root, via }: Pick<HeldRoot, "path" | "via">, path: string): string {
  return path === root || path.startsWith(`${root}/`) ? via + path.slice(root.length) : path;
}

/** Tells the folder at a path and the lock in it from any others. */
export function seenAt(folder: string): string {
  const facts = [folder, `${folder}/.lock`].map((path) => unless(["ELOOP"], () => lookAt(path)));
  return facts.map((one) => `${one?.kind}:${one?.dev}:${one?.ino}`).join(" ");
}

/** What is at `path`, a symlink as itself. */
function lookAt(path: string): FileFacts | undefined {
  // That nothing is there is common: without an error it costs a tenth.
  const stats = unless(["ENOTDIR"], () => lstatSync(path, { throwIfNoEntry: false }));
  return stats && factsOf(stats);
}

export function factsOf(stats: Stats): FileFacts {
  const { mode, size, uid, dev, ino, mtimeMs, birthtimeMs } = stats;
  return { kind: kindOf(stats), mode: mode & 0o7777, size, uid, dev, ino, mtimeMs, birthtimeMs };
}

function kindOf(stats: Stats): FileFacts["kind"] {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "folder";
  return stats.isSymbolicLink() ? "link" : "other";
}

/** Nothing if the system refuses with one of these codes. */
function unless<T>(codes: readonly string[], call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (error instanceof Error && "code" in error && codes.includes(String(error.code))) return undefined;
    throw error;
  }
}
