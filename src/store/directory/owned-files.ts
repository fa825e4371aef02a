import { dirname } from "node:path";
import { type Medium, type Ours, type Role, roles } from "./medium.ts";

/** One thing that is published, or is about to be. */
export interface OwnedFile {
  readonly path: string;
  /** Of the identity that it is published for. */
  readonly uid: string;
  readonly role: Role;
  readonly medium: Pick<Medium<never>, "stamp" | "inspect" | "remove">;
  /** As we left it; absent while it is only claimed, so that no other identity takes its place. */
  readonly stamp?: string;
  readonly digest?: string;
}

/** The stamp of what we began to write, and may or may not have written. */
export const unfinished = "unfinished";

export function entryOf(
  path: string,
  medium: OwnedFile["medium"],
  { uid, role, stamp, digest }: Ours,
): OwnedFile {
  return { path, uid, role, medium, stamp, ...(digest !== undefined && { digest }) };
}

/** What is published, and for whom, in memory: asked before the disk, which remains the truth. */
export class OwnedFiles {
  readonly #entries = new Map<string, OwnedFile>();
  readonly #paths = new Map<string, readonly string[]>();
  readonly #busy = new Set<string>();
  readonly #listeners = new Set<() => void>();

  get(path: string): OwnedFile | undefined {
    return this.#entries.get(path);
  }

  set(entry: OwnedFile): void {
    const { path, uid } = entry;
    this.delete(path);
    this.#entries.set(path, entry);
    this.#paths.set(uid, [...(this.#paths.get(uid) ?? []), path]);
  }

  delete(path: string): void {
    const entry = this.#entries.get(path);
    if (entry === undefined) return;
    this.#entries.delete(path);
    const left = this.#paths.get(entry.uid)?.filter((one) => one !== path) ?? [];
    if (left.length === 0) this.#paths.delete(entry.uid);
    else this.#paths.set(entry.uid, left);
  }

  entries(): OwnedFile[] {
    return [...this.#entries.values()];
  }

  /** What is published for an identity, in the order in which it may be withdrawn. */
  of(uid: string): OwnedFile[] {
    const entries = (this.#paths.get(uid) ?? []).flatMap((path) => this.#entries.get(path) ?? []);
    return entries.toSorted((one, other) => roles.indexOf(one.role) - roles.indexOf(other.role));
  }

  get uids(): Iterable<string> {
    return this.#paths.keys();
  }

  /** The folders of namespaces in which anything is. */
  get folders(): Set<string> {
    return new Set(this.#entries.keys().map((path) => dirname(path)));
  }

  isBusy(uid: string): boolean {
    return this.#busy.has(uid);
  }

  /** While `work` writes for the identity, what changes may be our own doing. */
  async busy<T>(uid: string, work: () => Promise<T>): Promise<T> {
    this.#busy.add(uid);
    try {
      return await work();
    } finally {
      this.#busy.delete(uid);
      for (const listener of this.#listeners) listener();
    }
  }

  /** Calls `listener` whenever nothing is written any more for some identity. */
  subscribe(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }
}
