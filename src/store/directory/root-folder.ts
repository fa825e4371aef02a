import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { distrusted } from "../../runtime/trusted-path.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { StoreError } from "../store.ts";
import { reading, writing } from "./file-errors.ts";
import { type Files, isPrivate, nodeFiles } from "./files.ts";

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

export interface HeldFolder extends AsyncDisposable {
  /**
   * To be called before anything is written: what is at the folder's path may be another folder by now, or a link.
   * @throws StoreError ATTACHE_STORE_UNWRITABLE
   */
  assertHeld(): Promise<void>;
}

/** Tells the folder and the lock in it from any others. */
async function seenAt(...paths: string[]): Promise<string> {
  const facts = await Promise.all(paths.map((path) => nodeFiles.lstat(path)));
  return facts.map((one) => `${one?.kind}:${one?.dev}:${one?.ino}`).join(" ");
}

function swapped(folder: string): StoreError {
  const problem = `${folder} is not the folder that attaché opened when it started: it was moved, replaced or emptied`;
  const remedy = "Bring it back; or restart attaché, which then checks and uses the one that is there.";
  return new StoreError("ATTACHE_STORE_UNWRITABLE", problem, { remedy });
}

/**
 * Keeps every other process off the folder until it is disposed of. The lock is the kernel's, on `.lock` in the
 * folder: it ends with the process, however that ends, and so is never stale.
 * @throws StoreError ATTACHE_STORE_LOCKED if another one, or we ourselves, hold it.
 */
export async function lockFolder(folder: string, path: string): Promise<HeldFolder> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const file = await writing(path, () => open(path, flags, 0o600));
  try {
    // A native module: only a process that has a store loads it.
    const { tryLock } = await import("fs-native-extensions");
    if (!(await writing(path, () => Promise.resolve(tryLock(file.fd))))) {
      throw new StoreError("ATTACHE_STORE_LOCKED", `another attaché works on ${folder}`);
    }
    const held = await seenAt(folder, path);
    return {
      async assertHeld() {
        if ((await seenAt(folder, path)) !== held) throw swapped(folder);
      },
      [Symbol.asyncDispose]: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Whether a process holds the lock of {@link lockFolder}, seen without taking it. `undefined` where that cannot
 * be known: only Linux lists locks (proc(5), `/proc/locks`), and only those of processes it shows.
 */
export async function isFolderLocked(path: string): Promise<boolean | undefined> {
  const lock = await nodeFiles.stat(path);
  if (lock === undefined) return false;
  const locks = await readFile("/proc/locks", "utf8").catch(() => undefined);
  return locks?.split("\n").some((line) => line.includes("WRITE") && line.includes(`:${lock.ino} `));
}
