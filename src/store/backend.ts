import { hash } from "node:crypto";
import { dnsSubdomain } from "../api/names.ts";
import type { Manifest, ManifestMetadata, TlsContextManifest } from "../render/manifest.ts";
import { ownershipAnnotations } from "../render/marks.ts";
import type { StoreError } from "./store.ts";

/** A target's certificates and key as PEM files, for those who read no Secrets. */
export interface PemSetManifest {
  readonly kind: "PemSet";
  /** Of the identity that it is published for. */
  readonly metadata: ManifestMetadata;
  /** Texts by file name. */
  readonly data: Readonly<Record<string, string>>;
}

/** What a target is made of, in a backend. */
export type Part = Manifest | PemSetManifest;

/** Which object: `Secret/emissary/storefront-mesh-ca`. */
export type ObjectKey = `${Part["kind"]}/${string}/${string}`;

export interface ObjectRef {
  readonly kind: Part["kind"];
  readonly namespace: string;
  readonly name: string;
}

/**
 * Where objects are published: an API server or a folder. It reports what it sees to {@link OwnedObjects}, from its
 * start and whenever something changes; the methods below are about one object each.
 */
export interface Backend {
  /** Whether `spec.target.adopt` counts: objects of others can be taken over, and given back at the end. */
  readonly canAdopt: boolean;
  /**
   * The object as it is now; nothing if there is none.
   * @param atLeast suffices if it is as new as this resourceVersion.
   */
  read(ref: ObjectRef, atLeast?: string): Promise<Found | undefined>;
  /**
   * Puts it there whole, in place of what `before` says: nothing, or an object that was just read or observed.
   * @throws an error that {@link isConflict} if something else is there.
   */
  write(part: Part, before: Found | Precondition | undefined): Promise<ObservedObject>;
  /** Takes the object away, or gives it back if it was adopted; does nothing if none is there. @throws as {@link write} */
  remove(ref: ObjectRef, before: ObservedObject): Promise<void>;
  /** As {@link read}, all of this installation that only {@link read} gives whole, a page at a time. */
  readAll?(signal: AbortSignal): AsyncIterable<readonly Found[]>;
  /** As {@link read}, from what is kept of the object; nothing if that is not enough. */
  partOf?(seen: ObservedObject): Part | undefined;
  /**
   * As {@link write}, all of these in their order, at once; nothing if what they replace, or what is `unchanged`, is not
   * as it was seen.
   */
  writeAll?(writes: readonly PartWrite[], unchanged: readonly ObjectRef[]): Promise<WrittenParts>;
  /** Whether `error` may mean that another client has written meanwhile. */
  isConflict(error: unknown, isCreate: boolean): boolean;
  /** Whether the metadata of what is there is as `part` wants it; what others have added may stay. */
  isMarked(part: Part, seen: ObservedObject): boolean;
  /** As {@link ObservedObject.content} is of an object that is as `part` wants it. */
  contentOf(part: Part): string;
  taken(ref: ObjectRef, because: string, remedy?: string): StoreError;
}

/** Arguments of {@link Backend.write}. */
export interface PartWrite {
  readonly part: Part;
  readonly before: Found | Precondition | undefined;
}

/** How far {@link Backend.writeAll} came. */
export interface WrittenParts {
  readonly written: readonly ObservedObject[];
  /** Why the rest was not written. */
  readonly error?: Error;
}

/** The object as observed: a write that carries these is refused once another client has written. */
export interface Precondition {
  readonly uid: string;
  readonly resourceVersion: string;
}

/** An object that was just read. */
export interface Found {
  readonly observed: ObservedObject;
  /** Without what others have added; absent if it is damaged. */
  readonly part: Part | undefined;
  /** Whose it is, where its annotations do not say that. */
  readonly because?: string;
  /** Why it cannot be taken over, even if that is wanted. */
  readonly refusal?: StoreError;
}

/** An object as it was at one resourceVersion, without what it holds: this much of it is kept. */
export interface ObservedObject extends ObjectRef, Precondition {
  readonly labels: Readonly<Record<string, string>>;
  /** Those of attaché, and what this installation has set. Others may be long, and hold a Secret's data. */
  readonly annotations: Readonly<Record<string, string>>;
  /** What this installation has set of them. */
  readonly own: MetadataKeys;
  /** Who else has edited it last. */
  readonly editor: string | undefined;
  /** Digest of what it holds; absent where only the metadata was seen. */
  readonly content?: string;
  /** Of a TLSContext. */
  readonly spec?: TlsContextManifest["spec"];
}

/** Names of labels and annotations. */
export interface MetadataKeys {
  readonly labels: readonly string[];
  readonly annotations: readonly string[];
}

/** The identity that an object says it is published for. */
export interface Owner {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** Without what else the argument has. */
export function refOf({ kind, namespace, name }: ObjectRef): ObjectRef {
  return { kind, namespace, name };
}

export function refOfPart({ kind, metadata: { namespace, name } }: Part): ObjectRef {
  return { kind, namespace, name };
}

export function objectKey({ kind, namespace, name }: ObjectRef): ObjectKey {
  return `${kind}/${namespace}/${name}`;
}

/** Nothing if it is not of this installation. */
export function ownerIn(observed: ObservedObject, installation: string): Owner | undefined {
  const { namespace, annotations } = observed;
  const uid = annotations[ownershipAnnotations.identity];
  if (annotations[ownershipAnnotations.installation] !== installation || uid === undefined) return undefined;
  // Any writer can set this annotation: a value that is not a name, of any length, is shown nowhere.
  const { data: name = "" } = dnsSubdomain.safeParse(annotations[ownershipAnnotations.name]);
  return { namespace, name, uid };
}

/** Whether it is published for `owner`: its annotations say so, or it is the same object with them removed. */
export function isOf(owner: Owner, observed: ObservedObject, { installation, uid }: KnownBy): boolean {
  const marked = ownerIn(observed, installation);
  if (marked !== undefined) return marked.uid === owner.uid;
  const { [ownershipAnnotations.installation]: by = installation } = observed.annotations;
  return by === installation && uid === observed.uid;
}

/** Whether `owner` may go on from it: it is its own, or was of an identity of its name, which is gone then. */
export function isHeirOf(owner: Owner, observed: ObservedObject, by: KnownBy): boolean {
  const marked = ownerIn(observed, by.installation);
  return marked === undefined ? isOf(owner, observed, by) : isOwnerOrHeir(owner, marked);
}

export interface KnownBy {
  readonly installation: string;
  /** Of the object that was the owner's. */
  readonly uid: string | undefined;
}

/** Whether `owner` is the other one, or has its name, which only one can have. */
export function isOwnerOrHeir(owner: Owner, other: Owner): boolean {
  return owner.uid === other.uid || (owner.namespace === other.namespace && owner.name === other.name);
}

/** Whether one resourceVersion is newer than another: they rise, and compare as numbers (KEP-5504). */
export function isNewer(one: string, other: string): boolean {
  return BigInt(one) > BigInt(other);
}

/** The SHA-256 of a value, shortened to 128 bits; the order of keys does not count. Detects changes, proves nothing. */
export function digestOf(value: unknown): string {
  const digest = hash("sha256", JSON.stringify(withSortedKeys(value)), "buffer");
  return digest.toString("base64url", 0, 16);
}

const digests = new WeakMap<object, string>();

/** {@link digestOf} of what never changes, computed once: a manifest is compared several times before it is written. */
export function digestOfFixed(value: object): string {
  const known = digests.get(value) ?? digestOf(value);
  digests.set(value, known);
  return known;
}

function withSortedKeys(value: unknown): unknown {
  if (typeof value !== "object" || value === null || "toJSON" in value) return value;
  if (Array.isArray(value)) return value.map(withSortedKeys);
  const entries = Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, withSortedKeys(inner)]));
}
