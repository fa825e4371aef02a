import { constants } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { distrusted } from "../../runtime/trusted-path.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { StoreError } from "../store.ts";
import { reading, writing } from "./file-errors.ts";
import { type Files, nodeFiles } from "./files.ts";
import { type HeldRoot, isPrivate, placeIn, seenAt } from "./folder-calls.ts";

/**
 * Makes the store's folder, 0700, with the folders around it, if it is not there. One that is there is left as
 * it is: like ssh we refuse one in which others may put files, and like gpg we warn of one that they may list.
 */
export async function prepareRoot(folder: string, files: Files, logger: Logger): Promise<void> {
  const around = await reading(folder, () => distrusted(dirname(folder), { files, sharesMounts: true }));
  if (around !== undefined)
    throw refused(around.problem, `${around.remedy} Or name a folder where others may not write around it.`);
  const facts = await reading(folder, () => files.stat(folder));
  if (facts === undefined) {
    await create(folder, files);
    return;
  }
  if (facts.kind !== "folder")
    throw refused(`${folder} is not a folder`, "Name a folder, or none that is there.");
  const distrust = await reading(folder, () => distrusted(folder, { files, within: dirname(folder) }));
  if (distrust !== undefined) throw refused(distrust.problem, `${distrust.remedy} Or ${ownFolder(folder)}`);
  if (!isPrivate(facts.mode)) {
    logger.log("FolderVisible", { folder, mode: facts.mode.toString(8) });
  }
}

async function create(folder: string, files: Files): Promise<void> {
  const parent = dirname(folder);
  if ((await reading(parent, () => files.stat(parent))) === undefined) await create(parent, files);
  await writing(folder, async () => {
    await files.createFolder(folder);
    await files.sync(parent);
  });
}

/** On a volume that belongs to all, such as an emptyDir of Kubernetes. */
function ownFolder(folder: string): string {
  return `name a folder in it that attaché makes itself: ${join(folder, "attache")}.`;
}

function refused(problem: string, remedy: string): StoreError {
  return new StoreError("ATTACHE_STORE_UNWRITABLE", problem, { remedy });
}

/** A folder that other processes are kept off, until it is disposed of. */
export interface HeldFolder extends HeldRoot, AsyncDisposable {
  /** `files`, which reach what is below the folder through its handle. */
  readonly files: Files;
}

/**
 * Keeps every other process off the folder until it is disposed of. The lock is the kernel's, on `.lock` in the
 * folder: it ends with the process, however that ends, and so is never stale.
 * @throws StoreError ATTACHE_STORE_LOCKED if another one, or we ourselves, hold it.
 */
export async function holdFolder(folder: string, lock: string, files: Files): Promise<HeldFolder> {
  await using stack = new AsyncDisposableStack();
  const handle = stack.use(
    await reading(folder, () => open(folder, constants.O_RDONLY | constants.O_DIRECTORY)),
  );
  const via = await wayThrough(handle, folder);
  const place = placeIn({ path: folder, via }, lock);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const file = stack.use(await writing(lock, () => open(place, flags, 0o600)));
  if (!(await isLocked(file.fd, lock))) {
    throw new StoreError("ATTACHE_STORE_LOCKED", `another attaché works on ${folder}`);
  }
  const root = { path: folder, via, seen: seenAt(folder) };
  const owned = stack.move();
  const at = (path: string) => placeIn(root, path);
  return {
    ...root,
    files: {
      ...files,
      lstat: (path) => files.lstat(at(path)),
      list: (path) => files.list(at(path)),
      read: (path, options) => files.read(at(path), options),
      readlink: (path) => files.readlink(at(path)),
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A native module: only a process that has a store loads it. */
async function isLocked(fd: number, path: string): Promise<boolean> {
  const { tryLock } = await import("fs-native-extensions");
  return writing(path, () => Promise.resolve(tryLock(fd)));
}

/**
 * A path that leads into the open folder, wherever it is moved to and whatever is put in its place (proc(5)). Only
 * Linux has one; elsewhere the folder's own path.
 */
async function wayThrough(handle: FileHandle, folder: string): Promise<string> {
  const way = `/proc/self/fd/${handle.fd}/.`;
  const [here, there] = await Promise.all([handle.stat(), nodeFiles.lstat(way)]);
  return there?.dev === here.dev && there.ino === here.ino ? way : folder;
}

/**
 * Whether a process holds the lock of {@link holdFolder}, seen without taking it. `undefined` where that cannot
 * be known: only Linux lists locks (proc(5), `/proc/locks`), and only those of processes it shows.
 */
export async function isFolderLocked(path: string): Promise<boolean | undefined> {
  const lock = await nodeFiles.stat(path);
  if (lock === undefined) return false;
  const locks = await readFile("/proc/locks", "utf8").catch(() => undefined);
  return locks?.split("\n").some((line) => line.includes("WRITE") && line.includes(`:${lock.ino} `));
}
