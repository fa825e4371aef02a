import { open } from "node:fs/promises";
import { constants } from "node:fs";
import { StoreError } from "../errors.ts";
import { writing } from "./file-errors.ts";

/**
 * Keeps every other process off the folder until it is disposed of. The lock is the kernel's, on `.lock` in the
 * folder: it ends with the process, however that ends, and so is never stale.
 * @throws StoreError ATTACHE_STORE_LOCKED if another one, or we ourselves, hold it.
 */
export async function lockFolder(folder: string, path: string): Promise<AsyncDisposable> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const file = await writing(path, () => open(path, flags, 0o600));
  try {
    // A native module: only a process that has a store loads it.
    const { tryLock } = await import("fs-native-extensions");
    if (!(await writing(path, () => Promise.resolve(tryLock(file.fd))))) {
      throw new StoreError("ATTACHE_STORE_LOCKED", `another attaché works on ${folder}`);
    }
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
