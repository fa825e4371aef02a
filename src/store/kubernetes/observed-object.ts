import { isDeepStrictEqual } from "node:util";
import { dnsSubdomain } from "../../api/names.ts";
import type { Manifest, TlsContextManifest } from "../../render/manifest.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { digestOf } from "../digest.ts";
import type { StoredObject } from "./api-object.ts";
import { keysOf, lastEditor, type MetadataKeys } from "./api-object.ts";

/** Which object: `Secret/emissary/storefront-mesh-ca`. */
export type ObjectKey = `${Manifest["kind"]}/${string}/${string}`;

export interface ObjectRef {
  readonly kind: Manifest["kind"];
  readonly namespace: string;
  readonly name: string;
}

/** Without what else the argument has. */
export function refOf({ kind, namespace, name }: ObjectRef): ObjectRef {
  return { kind, namespace, name };
}

export function refOfManifest({ kind, metadata: { namespace, name } }: Manifest): ObjectRef {
  return { kind, namespace, name };
}

export function objectKey({ kind, namespace, name }: ObjectRef): ObjectKey {
  return `${kind}/${namespace}/${name}`;
}

/** An object as it was at one resourceVersion, without what it holds: this much of it is kept. */
export interface ObservedObject extends ObjectRef {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Those of attaché, and what this installation has set. Others may be long, and hold what `kubectl apply` was given: a Secret's data. */
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

/** @param manager the field manager of this installation. */
export function observe(kind: Manifest["kind"], object: StoredObject, manager: string): ObservedObject {
  const {
    namespace,
    name,
    uid,
    resourceVersion,
    labels = {},
    annotations = {},
    managedFields,
  } = object.metadata;
  const content = contentIn(kind, object);
  const own = keysOf(manager, managedFields);
  const isKept = (key: string) => key.startsWith(prefix) || own.annotations.includes(key);
  return {
    kind,
    namespace,
    name,
    uid,
    resourceVersion,
    labels,
    annotations: Object.fromEntries(Object.entries(annotations).filter(([key]) => isKept(key))),
    own,
    editor: lastEditor(manager, managedFields),
    ...(content !== undefined && { content }),
    ...(kind === "TLSContext" && { spec: specOf(object) }),
  };
}

const prefix = "attache.dev/";

/** As attaché has written it, or as another client has overwritten it: either way it is read as such a spec. */
function specOf({ spec = {} }: StoredObject): TlsContextManifest["spec"] {
  return spec as unknown as TlsContextManifest["spec"];
}

/** Digest of what an object is to hold: the data of a Secret, whose type cannot change, or the spec of a TLSContext. */
export function contentOf(manifest: Manifest): string {
  return digestOf(manifest.kind === "Secret" ? manifest.data : manifest.spec);
}

/** As {@link contentOf}; nothing if the server sent the metadata alone. */
function contentIn(kind: Manifest["kind"], { type, data = {}, spec }: StoredObject): string | undefined {
  if (kind === "Secret") return type === undefined ? undefined : digestOf(data);
  return spec === undefined ? undefined : digestOf(spec);
}

/** Whether `after` holds what `before` does, and the labels and annotations that this installation has set. */
export function isUnchanged(before: ObservedObject, after: ObservedObject): boolean {
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

/** The identity that an object says it is published for. */
export interface Owner {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
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

/** Whether it is published for `owner`: its marks say so, or it is the same object with its marks removed. */
export function isOf(owner: Owner, observed: ObservedObject, { installation, uid }: KnownBy): boolean {
  const marked = ownerIn(observed, installation);
  if (marked !== undefined) return marked.uid === owner.uid;
  const { [ownershipAnnotations.installation]: by = installation } = observed.annotations;
  return by === installation && uid === observed.uid;
}

/** Whether `owner` may go on from it: it is his, or was of an identity of his name, which is gone then. */
export function isHeirOf(owner: Owner, observed: ObservedObject, by: KnownBy): boolean {
  const marked = ownerIn(observed, by.installation);
  return marked === undefined ? isOf(owner, observed, by) : isOwnerOrHeir(owner, marked);
}

export interface KnownBy {
  readonly installation: string;
  /** Of the object that was his. */
  readonly uid: string | undefined;
}

/** Whether `owner` is the other one, or has his name, which only one can have. */
export function isOwnerOrHeir(owner: Owner, other: Owner): boolean {
  return owner.uid === other.uid || (owner.namespace === other.namespace && owner.name === other.name);
}

/** Whether the metadata is as `manifest` wants it; what others have added may stay. */
export function isMarked(manifest: Manifest, { labels, annotations, own }: ObservedObject): boolean {
  const wanted = manifest.metadata;
  return (
    includes(labels, wanted.labels) &&
    includes(annotations, wanted.annotations) &&
    own.labels.every((key) => key in wanted.labels) &&
    own.annotations.every((key) => key in wanted.annotations)
  );
}

function includes(
  there: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(wanted).every(([key, value]) => there[key] === value);
}
