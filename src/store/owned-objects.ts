import { isDeepStrictEqual } from "node:util";
import {
  digestOfFixed,
  isNewer,
  type ObjectKey,
  objectKey,
  type ObjectRef,
  type ObservedObject,
  type Owner,
  ownerIn,
  type Part,
  refOf,
  type Precondition,
  refOfPart,
} from "./backend.ts";
import { Groups } from "./groups.ts";

/** One object that is published, or is about to be. */
export interface OwnedObject extends ObjectRef {
  readonly owner: Owner;
  readonly state: OwnedState;
  /** The newest observation, by a watch or in an answer; it only moves forward. */
  readonly seen?: ObservedObject;
  /** Digest of the manifest that was published last, and of what the server made of it: it may add defaults. */
  readonly published?: { readonly manifest: string; readonly became: string | undefined };
  /** A watch showed a change while an answer was awaited: its echo, or drift. */
  readonly isSuspect?: boolean;
}

/**
 * - `reserved`: not known to exist; the name is kept for its owner.
 * - `synced`: as `seen`.
 * - `stale`: to be read before the next write.
 * - `deleted`: it existed, and does not any more.
 */
type OwnedState = "reserved" | "synced" | "stale" | "deleted";

export interface OwnedObjectsPorts {
  readonly installation: string;
  /** Another client has changed or deleted what is published for the identity. */
  readonly onDrift: (owner: Owner) => void;
}

/**
 * The cache of the objects that this installation publishes: uid, resourceVersion and content digest of each.
 * Observations only move forward: an event older than the last answer is ignored, and one that changes none of
 * attaché's fields is no drift.
 * Of a Secret only metadata is watched: a version newer than our own answer makes it stale, and costs one GET.
 */
export class OwnedObjects {
  readonly #ports: OwnedObjectsPorts;
  readonly #objects = new Map<ObjectKey, OwnedObject>();
  /** By UID of the identity, by its namespace and name, and by name of a TLSContext. */
  readonly #index = new Groups<ObjectKey>();
  /** How many answers are awaited: until the last one, a change may be an echo. */
  readonly #awaited = new Map<ObjectKey, number>();

  constructor(ports: OwnedObjectsPorts) {
    this.#ports = ports;
  }

  get(ref: ObjectRef): OwnedObject | undefined {
    return this.#objects.get(objectKey(ref));
  }

  /** What is known of this very version of the object. */
  seenAt(ref: ObjectRef, { uid, resourceVersion }: Precondition): ObservedObject | undefined {
    const seen = this.get(ref)?.seen;
    return seen?.uid === uid && seen.resourceVersion === resourceVersion ? seen : undefined;
  }

  all(): IteratorObject<OwnedObject> {
    return this.#objects.values();
  }

  /**
   * The objects of an identity, or of one of its name that is gone: a backup or its CRD was restored. Only those in its own
   * namespace: a client that writes to another one can put any UID on an object.
   */
  of(owner: Owner): OwnedObject[] {
    const [own, inherited] = [this.#indexed(`uid ${owner.uid}`), this.#indexed(identityIndex(owner))];
    return [...new Set([...own, ...inherited])].filter(({ namespace }) => namespace === owner.namespace);
  }

  /** The TLSContexts of this name, in any namespace. */
  contextsNamed(name: string): OwnedObject[] {
    return this.#indexed(`context ${name}`);
  }

  reserve(ref: ObjectRef, owner: Owner): void {
    if (this.get(ref) === undefined) this.#set({ ...refOf(ref), owner, state: "reserved" });
  }

  /** Gives back a name under which nothing was published. */
  release(ref: ObjectRef, owner: Owner): void {
    const object = this.get(ref);
    if (object?.owner.uid === owner.uid && object.seen === undefined) this.forget(ref);
  }

  /** What a watch shows. */
  see(observed: ObservedObject): void {
    const before = this.get(observed);
    if (before?.seen !== undefined && !isNewer(observed.resourceVersion, before.seen.resourceVersion)) return;
    const isSame = before?.seen?.uid === observed.uid;
    const owner = ownerIn(observed, this.#ports.installation) ?? (isSame ? before.owner : undefined);
    if (owner === undefined) return;
    const isEcho =
      before?.seen === undefined || (before.state === "synced" && isUnchanged(before.seen, observed));
    this.#enter(observed, owner, isSame ? before : undefined);
    if (!isEcho) this.#changed(before.owner, observed);
  }

  /** A watch shows it no more: it was deleted, or has lost the label. */
  lose(observed: ObservedObject): void {
    const object = this.get(observed);
    if (object?.seen?.uid !== observed.uid || object.state === "deleted") return;
    this.#set({ ...object, state: "stale" });
    this.#changed(object.owner, observed);
  }

  /** What a read or the answer to a write shows, for `owner`; a newer event is kept. */
  answered(observed: ObservedObject, owner: Owner): void {
    const before = this.get(observed);
    if (before?.seen === undefined || !isNewer(before.seen.resourceVersion, observed.resourceVersion)) {
      const same = this.seenAt(observed, observed);
      // Of the metadata that a watch has shown no second copy is kept.
      this.#enter(same ? { ...same, ...contentOf(observed) } : observed, owner, before);
    } else {
      const isSuspect = before.isSuspect === true && !isUnchanged(before.seen, observed);
      this.#set({ ...before, owner, isSuspect });
    }
  }

  /** `part` is what was written or found, and `became` the digest of the content that the server made of it. */
  published(part: Part, became: string | undefined): void {
    const object = this.get(refOfPart(part));
    if (object === undefined || hasPublished(object, part)) return;
    this.#set({ ...object, published: { manifest: digestOfFixed(part), became } });
  }

  /** Attaché or another client may have written it. */
  markStale(ref: ObjectRef): void {
    const object = this.get(ref);
    if (object !== undefined) this.#set({ ...object, state: "stale" });
  }

  /** It is known to be gone: a watch that shows that is its echo. */
  markDeleted(ref: ObjectRef): void {
    const object = this.get(ref);
    if (object !== undefined) {
      const state = object.seen === undefined ? "reserved" : "deleted";
      this.#set({ ...object, state, isSuspect: false });
    }
  }

  forget(ref: ObjectRef): void {
    const key = objectKey(ref);
    const object = this.#objects.get(key);
    if (object === undefined) return;
    this.#objects.delete(key);
    for (const index of indicesOf(object)) this.#index.delete(index, key);
  }

  /** Runs `work`, which writes the object and enters the answer. A change that is newer than every answer is drift. */
  async writing<T>(ref: ObjectRef, work: () => Promise<T>): Promise<T> {
    const key = objectKey(ref);
    this.#awaited.set(key, (this.#awaited.get(key) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = (this.#awaited.get(key) ?? 1) - 1;
      if (left > 0) this.#awaited.set(key, left);
      else this.#awaited.delete(key);
      const object = this.#objects.get(key);
      if (left === 0 && object?.isSuspect === true) {
        this.#set({ ...object, isSuspect: false });
        this.#ports.onDrift(object.owner);
      }
    }
  }

  #changed(owner: Owner, ref: ObjectRef): void {
    const key = objectKey(ref);
    const object = this.#objects.get(key);
    if (this.#awaited.has(key) && object !== undefined) this.#set({ ...object, isSuspect: true });
    else this.#ports.onDrift(owner);
  }

  #enter(seen: ObservedObject, owner: Owner, before: OwnedObject | undefined): void {
    const state = seen.content === undefined ? "stale" : "synced";
    const published = before?.published;
    this.#set({ ...refOf(seen), owner, state, seen, ...(published && { published }) });
  }

  #indexed(index: string): OwnedObject[] {
    return this.#index.get(index).flatMap((key) => this.#objects.get(key) ?? []);
  }

  #set(object: OwnedObject): void {
    const key = objectKey(object);
    const before = this.#objects.get(key);
    const isIndexed = before !== undefined && isSameOwner(before.owner, object.owner);
    if (!isIndexed) this.forget(object);
    this.#objects.set(key, object);
    if (!isIndexed) for (const index of indicesOf(object)) this.#index.add(index, key);
  }
}

/** Whether this very manifest was written or found last: another client made any later difference. */
export function hasPublished(object: OwnedObject | undefined, part: Part): boolean {
  return object?.published?.manifest === digestOfFixed(part);
}

function indicesOf({ owner, kind, name }: OwnedObject): string[] {
  const context = kind === "TLSContext" ? [`context ${name}`] : [];
  return [`uid ${owner.uid}`, identityIndex(owner), ...context];
}

function isSameOwner(one: Owner, other: Owner): boolean {
  return one.uid === other.uid && identityIndex(one) === identityIndex(other);
}

function contentOf({ content, spec }: ObservedObject): Pick<ObservedObject, "content" | "spec"> {
  return { ...(content !== undefined && { content }), ...(spec && { spec }) };
}

function identityIndex({ namespace, name }: Owner): string {
  return `identity ${namespace}/${name}`;
}

/** Whether `after` holds what `before` does, and the labels and annotations that this installation has set. */
function isUnchanged(before: ObservedObject, after: ObservedObject): boolean {
  const isKept = (of: "labels" | "annotations") =>
    isDeepStrictEqual(before.own[of], after.own[of]) &&
    before.own[of].every((key) => before[of][key] === after[of][key]);
  return (
    before.uid === after.uid &&
    before.content !== undefined &&
    before.content === after.content &&
    isKept("labels") &&
    isKept("annotations")
  );
}
