import { basename, dirname, join } from "node:path";
import { type FolderCalls, isPrivate, stampOf } from "./folder-calls.ts";

/** What becomes of a path. Plain data: it is sent to another thread. */
export type FileChange = { readonly path: string } & (
  | {
      readonly kind: "file";
      readonly text: string;
      /** Whether it is on the disk before the next change begins. If not, it is left alone where it is the same. */
      readonly isDurable: boolean;
    }
  /** A generation of a PEM set, see pem-sets.ts: texts by file name. */
  | { readonly kind: "set"; readonly files: Readonly<Record<string, string>> }
  /** A file, or a folder with all that is in it. */
  | { readonly kind: "removal"; readonly isDurable: boolean }
);

/** What must be at a path: something of this stamp, or nothing. */
export interface Expectation {
  readonly path: string;
  readonly stamp: string | undefined;
}

/** Changes in their order, all of them if every expectation holds, and none otherwise. */
export interface Transaction {
  readonly kind: "transaction";
  /** Differs from that of every other transaction of the process: names what is made for it in `temporary`. */
  readonly id: number;
  /** The folder below which all is, and which must be there. */
  readonly root: string;
  /** A folder in it that no reader uses. */
  readonly temporary: string;
  readonly expected: readonly Expectation[];
  readonly changes: readonly FileChange[];
}

export type FolderRequest = Transaction | { readonly kind: "stamps"; readonly paths: readonly string[] };

export interface FolderAnswer {
  /** Of a transaction: of each change that is done and on the disk, in order. */
  readonly stamps: readonly (string | undefined)[];
  /** Folders that others had access to, with the mode that they had: closed. */
  readonly closed: readonly { readonly folder: string; readonly mode: number }[];
  /** Why the rest is not done. */
  readonly failure?: Failure;
}

export interface Failure {
  /** `moved`: the folder is not where it was opened. `obstacle`: no folder is where one is needed. */
  readonly reason: "moved" | "changed" | "obstacle" | "system";
  readonly path: string;
  /** Of the system's error. */
  readonly code?: string;
  readonly message?: string;
}

/** Never throws: an error would lose its code on the way to another thread. */
export async function answer(request: FolderRequest, calls: FolderCalls): Promise<FolderAnswer> {
  if (request.kind === "transaction") return new Run(request, calls).answer();
  const done: (string | undefined)[] = [];
  try {
    if (!calls.isHeld()) return { stamps: [], closed: [], failure: { reason: "moved", path: "" } };
    for (const path of request.paths) done.push(stampAt(path, calls));
    return { stamps: done, closed: [] };
  } catch (error) {
    return { stamps: [], closed: [], failure: systemFailure(request.paths[done.length] ?? "", error) };
  }
}

/** Makes something appear or disappear at once, or prepares that. */
interface Move {
  /** Index of its change. */
  readonly change: number;
  readonly make: () => void;
  /** The folder in which it shows, if it must be on the disk before the next. */
  readonly folder?: string;
  /** Readers do not see it: it need not wait for those before it. */
  readonly isHidden?: true;
}

/**
 * First everything is made in a folder that no reader uses, and put on the disk; then it is moved into its place, each
 * move on the disk before the next. Whatever ends the process leaves a state between two moves; what is left in the
 * temporary folder is removed by the next start.
 */
class Run {
  readonly #transaction: Transaction;
  readonly #calls: FolderCalls;
  readonly #closed: { folder: string; mode: number }[] = [];
  readonly #moves: Move[] = [];
  /** What was made for the transaction and has not come to its place. */
  readonly #temporaries = new Set<string>();
  /** Folders that are known to be there, and closed to others. */
  readonly #ensured: Set<string>;
  /** Files and folders that are not known to be on the disk. */
  readonly #unsynced = new Set<string>();
  readonly #stamps: (string | undefined)[];
  /** How many changes are done and on the disk. */
  #done = 0;
  /** What is being worked at. */
  #at: string;

  constructor(transaction: Transaction, calls: FolderCalls) {
    this.#transaction = transaction;
    this.#calls = calls;
    this.#stamps = transaction.changes.map(() => undefined);
    this.#at = transaction.root;
    this.#ensured = new Set([transaction.root]);
  }

  async answer(): Promise<FolderAnswer> {
    let failure: Failure | undefined;
    try {
      failure = await this.#run();
      for (const path of this.#temporaries) this.#calls.remove(path);
    } catch (error) {
      failure =
        error instanceof Obstacle
          ? { reason: "obstacle", path: error.folder }
          : systemFailure(this.#at, error);
      this.#cleanUp();
    }
    return { stamps: this.#stamps.slice(0, this.#done), closed: this.#closed, ...(failure && { failure }) };
  }

  /** As far as possible: the next start does the rest. */
  #cleanUp(): void {
    for (const path of this.#temporaries) {
      try {
        this.#calls.remove(path);
      } catch {
        // The failure that led here is the one to report.
      }
    }
  }

  async #run(): Promise<Failure | undefined> {
    const { expected, changes } = this.#transaction;
    if (!this.#calls.isHeld()) return { reason: "moved", path: this.#at };
    for (const { path, stamp } of expected) {
      this.#at = path;
      if (stampAt(path, this.#calls) !== stamp) return { reason: "changed", path };
    }
    for (const [index, change] of changes.entries()) {
      this.#at = change.path;
      this.#prepare(index, change);
    }
    await this.#sync();
    for (const { change, make, folder, isHidden } of this.#moves) {
      this.#at = changes[change]?.path ?? this.#at;
      if (isHidden !== true) {
        await this.#sync();
        this.#done = change;
      }
      make();
      if (folder !== undefined) this.#unsynced.add(folder);
    }
    await this.#sync();
    this.#done = changes.length;
    return undefined;
  }

  #prepare(index: number, change: FileChange): void {
    const calls = this.#calls;
    const { path } = change;
    const folder = dirname(path);
    if (change.kind === "removal") {
      this.#remove(index, change);
    } else if (change.kind === "set") {
      this.#ensure(path);
      this.#prepareSet(index, change);
    } else {
      this.#ensure(folder);
      if (!change.isDurable && calls.holds(path, change.text)) return;
      const temporary = this.#temporary(`${index}`);
      calls.create(temporary, change.text);
      this.#stamps[index] = stampAt(temporary, calls);
      if (change.isDurable) this.#unsynced.add(temporary);
      const make = () => this.#place(temporary, path);
      this.#moves.push({ change: index, make, ...(change.isDurable && { folder }) });
    }
  }

  #remove(index: number, { path, isDurable }: FileChange & { kind: "removal" }): void {
    const folder = isDurable ? { folder: dirname(path) } : {};
    const isFolder = this.#calls.lstat(path)?.kind === "folder";
    const make = () => {
      if (!isFolder) this.#calls.remove(path);
      // At once, however much is in it.
      else this.#calls.rename(path, this.#temporary(`${index}`));
    };
    this.#moves.push({ change: index, make, ...folder });
  }

  #prepareSet(index: number, { path, files }: FileChange & { kind: "set" }): void {
    const calls = this.#calls;
    const names = calls.list(path);
    const previous = generationAt(path, calls);
    const next = `gen-${(numberOf(newestGeneration(names) ?? "") ?? 0) + 1}`;
    const folder = this.#temporary(`${index}`);
    calls.createFolder(folder);
    for (const [name, text] of Object.entries(files)) {
      if (previous !== undefined && this.#reuse(join(path, previous, name), join(folder, name), text))
        continue;
      calls.create(join(folder, name), text);
      this.#unsynced.add(join(folder, name));
    }
    this.#unsynced.add(folder);
    const link = this.#temporary(`${index}-current`);
    calls.symlink(next, link);
    this.#moves.push({
      change: index,
      make: () => this.#place(folder, join(path, next)),
      folder: path,
      isHidden: true,
    });
    const outdated = names.filter((name) => numberOf(name) !== undefined && name !== previous);
    const swap = () => {
      this.#place(link, join(path, "current"));
      for (const name of outdated) calls.remove(join(path, name));
      this.#stamps[index] = stampAt(path, calls);
    };
    this.#moves.push({ change: index, make: swap, folder: path });
  }

  /** Makes `path` a second name of `file`, which is on the disk already, if it holds the text. */
  #reuse(file: string, path: string, text: string): boolean {
    if (!lastingFiles.includes(basename(file)) || !this.#calls.holds(file, text)) return false;
    try {
      this.#calls.link(file, path);
      return true;
    } catch {
      // The file system has no such links, or takes nothing at all: then a new file says why.
      return false;
    }
  }

  /** Makes the folders for keys down to this one, 0700 also if another process made one. */
  #ensure(folder: string): void {
    if (this.#ensured.has(folder)) return;
    this.#ensure(dirname(folder));
    const facts = this.#calls.lstat(folder);
    if (facts === undefined) {
      this.#calls.createFolder(folder);
      this.#unsynced.add(dirname(folder));
    } else if (facts.kind !== "folder") {
      throw new Obstacle(folder);
    } else if (!isPrivate(facts.mode)) {
      this.#closed.push({ folder, mode: facts.mode });
      this.#calls.chmod(folder, 0o700);
    }
    this.#ensured.add(folder);
  }

  #temporary(name: string): string {
    const { temporary, id } = this.#transaction;
    this.#ensure(temporary);
    const path = join(temporary, `${id}-${name}`);
    this.#temporaries.add(path);
    return path;
  }

  #place(temporary: string, path: string): void {
    this.#calls.rename(temporary, path);
    this.#temporaries.delete(temporary);
  }

  async #sync(): Promise<void> {
    await Promise.all(Array.from(this.#unsynced, (path) => this.#calls.sync(path)));
    this.#unsynced.clear();
  }
}

/** Something that is no folder is where one is needed. */
class Obstacle extends Error {
  readonly folder: string;

  constructor(folder: string) {
    super();
    this.folder = folder;
  }
}

function systemFailure(path: string, error: unknown): Failure {
  const { message } = error instanceof Error ? error : new Error(String(error));
  const code = error instanceof Error && "code" in error ? { code: String(error.code) } : {};
  return { reason: "system", path, message, ...code };
}

/** Differs from an earlier one if what is at `path` was touched since. Nothing if nothing is there. */
function stampAt(path: string, calls: FolderCalls): string | undefined {
  const facts = calls.lstat(path);
  if (facts?.kind !== "folder") return facts && stampOf(facts);
  const current = generationAt(path, calls);
  // A set of which nothing but its folder was made counts as none.
  const isSet = basename(path).startsWith(pemPrefix);
  if (isSet && current === undefined && calls.list(path).every((name) => name === "current"))
    return undefined;
  // As far as its current generation: a reader sees nothing else.
  const generation = join(path, current ?? "");
  const inside = [generation, ...setFiles.map((name) => join(generation, name)), join(path, "current")];
  const stamps = inside.map((one) => calls.lstat(one)).map((found) => (found ? stampOf(found) : "none"));
  return [facts.mode, ...stamps].join(" ");
}

/** How the names of PEM sets begin. */
export const pemPrefix = "pem-";

/** What a generation of a PEM set may hold; the last says whose it is. */
const setFiles = ["tls.key", "tls.crt", "ca.crt", "crl.pem", ".attache.json"];

/** Those that most rotations leave as they are. */
const lastingFiles = ["ca.crt", "crl.pem", ".attache.json"];

/** The generation that `current` leads to, if attaché made the link. */
function generationAt(path: string, calls: FolderCalls): string | undefined {
  const target = calls.readlink(join(path, "current"));
  return target === undefined || numberOf(target) === undefined ? undefined : target;
}

/** Of the names in a PEM set's folder. */
export function newestGeneration(names: readonly string[]): string | undefined {
  const numbers = names.flatMap((name) => numberOf(name) ?? []);
  return numbers.length === 0 ? undefined : `gen-${Math.max(...numbers)}`;
}

/** Of a generation, by its name; nothing if that is of something else. */
export function numberOf(name: string): number | undefined {
  const digits = /^gen-(\d{1,15})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
