import { dirname, join } from "node:path";
import type { Semaphore } from "../../runtime/semaphore.ts";
import { StoreError } from "../store.ts";
import { type OwnedFile, type OwnedFiles, unfinished } from "./owned-files.ts";

export interface DriftPorts {
  readonly root: string;
  readonly owned: OwnedFiles;
  readonly semaphore: Semaphore;
}

/** Finds what others have done to what is published: a suspicion costs a stat, and only a difference counts. */
export class Drift {
  readonly #ports: DriftPorts;
  readonly #suspects = new Set<string>();
  /** Each difference from the last write is reported once; the reconciler retries a failed repair. */
  readonly #reported = new WeakMap<OwnedFile, string>();

  constructor(ports: DriftPorts) {
    this.#ports = ports;
  }

  /** Something has changed in `folder`; a path that is not known to be published is ignored. */
  suspect(folder: string, name: string | undefined): void {
    const { root, owned } = this.#ports;
    const path = name === undefined ? undefined : join(folder, name);
    if (path !== undefined && folder !== root) {
      if (owned.get(path) !== undefined) this.#suspects.add(path);
      return;
    }
    const changed = path ?? folder;
    const isInside = (one: string) => changed === root || dirname(one) === changed;
    for (const entry of owned.entries()) if (isInside(entry.path)) this.#suspects.add(entry.path);
  }

  suspectAll(): void {
    this.suspect(this.#ports.root, undefined);
  }

  /** Whether there is a suspect that attaché is not writing now. */
  get isSuspected(): boolean {
    const { owned } = this.#ports;
    return this.#suspects.values().some((path) => !owned.isBusy(owned.get(path)?.uid ?? ""));
  }

  /** The UIDs of identities whose publication others have touched. What we are writing now stays suspect. */
  async found(): Promise<Set<string>> {
    const { owned, semaphore } = this.#ports;
    const suspects = [...this.#suspects];
    this.#suspects.clear();
    const drifted = new Set<string>();
    await semaphore.map(suspects, async (path) => {
      const entry = owned.get(path);
      if (entry !== undefined && (await this.#hasDrifted(entry))) drifted.add(entry.uid);
    });
    return drifted;
  }

  async #hasDrifted(entry: OwnedFile): Promise<boolean> {
    const { owned } = this.#ports;
    const { path, uid, stamp } = entry;
    // Only claimed, or given up in the middle: an apply is due anyway.
    if (stamp === undefined || stamp === unfinished) return false;
    const present = await stampNow(entry);
    if (owned.isBusy(uid) || owned.get(path) !== entry) {
      this.#suspects.add(path);
      return false;
    }
    if (present === stamp) {
      this.#reported.delete(entry);
      return false;
    }
    const isNews = present !== this.#reported.get(entry);
    this.#reported.set(entry, present);
    return isNews;
  }
}

async function stampNow({ path, medium }: OwnedFile): Promise<string> {
  try {
    return (await medium.stamp(path)) ?? "none";
  } catch (error) {
    // The repair reports the error.
    if (error instanceof StoreError) return error.message;
    throw error;
  }
}
