import type { Manifest } from "../../render/manifest.ts";
import { digestOf } from "../digest.ts";
import { isNewer } from "./api-object.ts";
import { contentOf } from "./content.ts";
import {
  isMarked,
  nameOf,
  type ObjectKey,
  objectKey,
  type ObjectName,
  type Owner,
  ownerIn,
  type Sighting,
} from "./sighting.ts";

/** One object that is published, or is about to be. */
export interface Entry extends ObjectName {
  readonly owner: Owner;
  readonly state: EntryState;
  /** As it was when it was last seen, if it ever was. */
  readonly seen?: Sighting;
  /** What was last made of it, and what the server made of that: it may have defaults of its own. */
  readonly published?: { readonly manifest: string; readonly became: string | undefined };
}

/**
 * - `claimed`: nothing is known to be there; no other identity takes its place.
 * - `known`: it is as it was seen.
 * - `doubted`: it has to be read before it counts for anything.
 * - `absent`: it was there, and is gone.
 */
export type EntryState = "claimed" | "known" | "doubted" | "absent";

export interface LedgerPorts {
  readonly installation: string;
  /** Somebody else has touched what is published for the identity. */
  readonly onDrift: (owner: Owner) => void;
}

/** What is published, for whom, and what it holds, in memory: the API server remains the truth. */
export class Ledger {
  readonly #ports: LedgerPorts;
  readonly #entries = new Map<ObjectKey, Entry>();
  /** By the UID of the identity, and by its namespace and name. */
  readonly #index = new Map<string, Set<ObjectKey>>();
  /** What the watches told of objects that were being written, to be looked at afterwards. */
  readonly #held = new Map<ObjectKey, (() => void)[]>();

  constructor(ports: LedgerPorts) {
    this.#ports = ports;
  }

  get(name: ObjectName): Entry | undefined {
    return this.#entries.get(objectKey(name));
  }

  entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  /**
   * What is published for an identity, or was for one of its name that is gone: it was restored, or its CRD was. In its
   * own namespace: whoever may write elsewhere can put anybody's UID on what he has made.
   */
  of(owner: Owner): Entry[] {
    const keys = new Set([
      ...(this.#index.get(owner.uid) ?? []),
      ...(this.#index.get(identityKey(owner)) ?? []),
    ]);
    const entries = [...keys].flatMap((key) => this.#entries.get(key) ?? []);
    return entries.filter(({ namespace }) => namespace === owner.namespace);
  }

  /** Whether the object is known to be as `manifest` wants it. */
  holds(manifest: Manifest, entry: Entry | undefined): boolean {
    if (entry?.seen === undefined || entry.state !== "known" || !isMarked(manifest, entry.seen)) return false;
    const { content } = entry.seen;
    if (content === contentOf(manifest)) return true;
    return entry.published?.became === content && this.hasPublished(manifest, entry);
  }

  /** Whether this very manifest was written or found there last: what differs from it since is the doing of others. */
  hasPublished(manifest: Manifest, entry: Entry | undefined): boolean {
    return entry?.published?.manifest === digestOf(manifest);
  }

  /** Keeps a name for an identity, unless somebody has it. */
  claim(name: ObjectName, owner: Owner): void {
    if (this.get(name) === undefined) this.#set({ ...nameIn(name), owner, state: "claimed" });
  }

  /** Gives back a name that came to nothing. */
  release(name: ObjectName, owner: Owner): void {
    const entry = this.get(name);
    if (entry?.owner.uid === owner.uid && entry.seen === undefined) this.forget(name);
  }

  /** What a watch shows. */
  see(sighting: Sighting): void {
    this.#unlessHeld(sighting, () => {
      const entry = this.get(sighting);
      if (entry?.seen !== undefined && !isNewer(sighting.resourceVersion, entry.seen.resourceVersion)) return;
      const isSame = entry?.seen?.uid === sighting.uid;
      const owner = ownerIn(sighting, this.#ports.installation) ?? (isSame ? entry.owner : undefined);
      if (owner === undefined) return;
      this.#enter(sighting, owner, isSame ? entry : undefined);
      if (entry?.seen !== undefined) this.#ports.onDrift(entry.owner);
    });
  }

  /** A watch shows it no more: it was deleted, or has lost the label. */
  lose(sighting: Sighting): void {
    this.#unlessHeld(sighting, () => {
      const entry = this.get(sighting);
      if (entry?.seen?.uid !== sighting.uid || entry.state === "absent") return;
      this.#set({ ...entry, state: "doubted" });
      this.#ports.onDrift(entry.owner);
    });
  }

  /** To be called when it may have been written, or somebody else may have. */
  doubt(name: ObjectName): void {
    const entry = this.get(name);
    if (entry !== undefined) this.#set({ ...entry, state: "doubted" });
  }

  /** How the object is, as just read or written for `owner`. */
  found(sighting: Sighting, owner: Owner): void {
    this.#enter(sighting, owner, this.get(sighting));
  }

  /** What was found or written is what `manifest` wants. */
  publishes(manifest: Manifest): void {
    const entry = this.get(nameOf(manifest));
    if (entry === undefined || this.hasPublished(manifest, entry)) return;
    this.#set({ ...entry, published: { manifest: digestOf(manifest), became: entry.seen?.content } });
  }

  /** It is not there. */
  missing(name: ObjectName): void {
    const entry = this.get(name);
    if (entry !== undefined) this.#set({ ...entry, state: entry.seen === undefined ? "claimed" : "absent" });
  }

  forget(name: ObjectName): void {
    const key = objectKey(name);
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    for (const place of placesOf(entry.owner)) {
      const keys = this.#index.get(place);
      keys?.delete(key);
      if (keys?.size === 0) this.#index.delete(place);
    }
  }

  /** While `work` writes the object, what the watches tell of it may be our own doing: that is seen afterwards. */
  async writing<T>(name: ObjectName, work: () => Promise<T>): Promise<T> {
    const key = objectKey(name);
    this.#held.set(key, []);
    try {
      return await work();
    } finally {
      const told = this.#held.get(key) ?? [];
      this.#held.delete(key);
      for (const look of told) look();
    }
  }

  #enter(sighting: Sighting, owner: Owner, before: Entry | undefined): void {
    const state = sighting.content === undefined ? "doubted" : "known";
    this.#set({ ...before, ...nameIn(sighting), owner, state, seen: sighting });
  }

  #unlessHeld(name: ObjectName, look: () => void): void {
    const held = this.#held.get(objectKey(name));
    if (held === undefined) look();
    else held.push(look);
  }

  #set(entry: Entry): void {
    this.forget(entry);
    const key = objectKey(entry);
    this.#entries.set(key, entry);
    for (const place of placesOf(entry.owner)) {
      this.#index.set(place, (this.#index.get(place) ?? new Set()).add(key));
    }
  }
}

function placesOf(owner: Owner): string[] {
  return [owner.uid, identityKey(owner)];
}

function identityKey({ namespace, name }: Owner): string {
  return `${namespace}/${name}`;
}

function nameIn({ kind, namespace, name }: ObjectName): ObjectName {
  return { kind, namespace, name };
}
