import { dnsSubdomain } from "../../api/names.ts";
import { marks } from "../../render/marks.ts";
import type { Manifest, TlsContextManifest } from "../../render/manifest.ts";
import type { StoredObject } from "./api-object.ts";
import { contentIn } from "./content.ts";
import { keysOf, lastEditor, type MetadataKeys } from "./field-owners.ts";

/** Which object: `Secret/emissary/storefront-mesh-ca`. */
export type ObjectKey = `${Manifest["kind"]}/${string}/${string}`;

export interface ObjectName {
  readonly kind: Manifest["kind"];
  readonly namespace: string;
  readonly name: string;
}

export function nameOf({ kind, metadata: { namespace, name } }: Manifest): ObjectName {
  return { kind, namespace, name };
}

export function objectKey({ kind, namespace, name }: ObjectName): ObjectKey {
  return `${kind}/${namespace}/${name}`;
}

/** An object as it was at one resourceVersion, without what it holds: this much of it is kept. */
export interface Sighting extends ObjectName {
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
export function sightingOf(kind: Manifest["kind"], object: StoredObject, manager: string): Sighting {
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

/** As we have written it, or somebody has written over it since: in either case it counts as what it is taken for. */
function specOf({ spec = {} }: StoredObject): TlsContextManifest["spec"] {
  return spec as unknown as TlsContextManifest["spec"];
}

/** The identity that an object says it is published for. */
export interface Owner {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** Nothing if it is not of this installation. */
export function ownerIn(sighting: Sighting, installation: string): Owner | undefined {
  const { namespace, annotations } = sighting;
  const uid = annotations[marks.identity];
  if (annotations[marks.installation] !== installation || uid === undefined) return undefined;
  // Whoever can write the object can write anything there: what is no name, of any length, is shown nowhere.
  const { data: name = "" } = dnsSubdomain.safeParse(annotations[marks.name]);
  return { namespace, name, uid };
}

/** Whether it is published for `owner`: it says so, or somebody has taken the marks off the very object that was. */
export function isOf(owner: Owner, sighting: Sighting, { installation, uid }: KnownBy): boolean {
  const marked = ownerIn(sighting, installation);
  if (marked !== undefined) return marked.uid === owner.uid;
  const { [marks.installation]: by = installation } = sighting.annotations;
  return by === installation && uid === sighting.uid;
}

/** Whether `owner` may go on from it: it is his, or was of an identity of his name, which is gone then. */
export function isHeirOf(owner: Owner, sighting: Sighting, by: KnownBy): boolean {
  const marked = ownerIn(sighting, by.installation);
  return marked === undefined ? isOf(owner, sighting, by) : isOwnerOrHeir(owner, marked);
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
export function isMarked(manifest: Manifest, { labels, annotations, own }: Sighting): boolean {
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
