import { getSystemErrorMap } from "node:util";
import { StoreError } from "../store.ts";
import { isFileError } from "./files.ts";

/**
 * What `work` does at `path`, with the operating system's refusal as a {@link StoreError} that says what to
 * do.
 */
export async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  return translated("write", path, work);
}

/** As {@link writing}, of what is only read. */
export async function reading<T>(path: string, work: () => Promise<T>): Promise<T> {
  return translated("read", path, work);
}

async function translated<T>(verb: "read" | "write", path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw isFileError(cause) ? refusalOf(verb, path, cause) : cause;
  }
}

/** The operating system's refusal of what was tried at `path`. */
export function refusalOf(
  verb: "read" | "write",
  path: string,
  cause: Error & { readonly code?: string | undefined },
): StoreError {
  const code = verb === "read" ? "ATTACHE_STORE_UNREADABLE" : "ATTACHE_STORE_UNWRITABLE";
  const { code: name = "", message } = cause;
  const remedy = remedies[name];
  return new StoreError(code, `cannot ${verb} ${path}: ${reasons.get(name) ?? message} (${name})`, {
    cause,
    ...(remedy !== undefined && { remedy }),
  });
}

/** By name and not by number: numbers differ between systems. */
const reasons = new Map(getSystemErrorMap().values());

const remedies: Partial<Record<string, string>> = {
  ENOSPC: "Free space on the file system; attaché retries by itself.",
  EDQUOT: "Free space or raise the quota of the user that attaché runs as; attaché retries by itself.",
  EROFS: "Mount the file system read-write; attaché retries by itself.",
  EACCES: "Let the user that attaché runs as in; attaché retries by itself.",
  EPERM: "Let the user that attaché runs as own the folder; attaché retries by itself.",
  ENOENT: "Bring back what is not there, or mount it; attaché retries by itself.",
  ENAMETOOLONG: "Choose a shorter name under `spec.target`.",
  EXDEV: "Keep the whole folder on one file system.",
  EIO: "Look at the disk; attaché retries by itself.",
  EFBIG: "Split it into several files.",
  EMFILE: "Raise the limit of open files (ulimit -n); attaché retries by itself.",
  ENFILE: "Raise the system's limit of open files; attaché retries by itself.",
};
