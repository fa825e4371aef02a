import type { Manifest, TlsContextManifest } from "../../render/manifest.ts";
import { digestOf, type MetadataKeys, type ObservedObject } from "../backend.ts";
import type { FieldSet, ManagedFields, StoredObject } from "./api-object.ts";

/** The field manager of nudges: attaché's, and not an editor. */
export const nudger = "attache-nudge";

const prefix = "attache.dev/";

/** What is kept of an object. @param manager the field manager of this installation. */
export function observe(kind: Manifest["kind"], object: StoredObject, manager: string): ObservedObject {
  const { namespace, name, uid, resourceVersion, managedFields } = object.metadata;
  const { labels = {}, annotations = {} } = object.metadata;
  const content = contentIn(kind, object);
  const own = keysOf(manager, managedFields);
  const isKept = (key: string) => key.startsWith(prefix) || own.annotations.includes(key);
  return {
    ...{ kind, namespace, name, uid, resourceVersion, labels, own },
    annotations: Object.fromEntries(Object.entries(annotations).filter(([key]) => isKept(key))),
    editor: lastEditor(manager, managedFields),
    ...(content !== undefined && { content }),
    // As attaché has written it, or as another client has overwritten it: either way it is read as such a spec.
    ...(kind === "TLSContext" && { spec: (object.spec ?? {}) as unknown as TlsContextManifest["spec"] }),
  };
}

/** The data of a Secret, whose type cannot change, or the spec of a TLSContext; nothing of metadata alone. */
function contentIn(kind: Manifest["kind"], { type, data = {}, spec }: StoredObject): string | undefined {
  if (kind === "Secret") return type === undefined ? undefined : digestOf(data);
  return spec === undefined ? undefined : digestOf(spec);
}

/** The labels and annotations that `manager` has set. A create counts as an update of that manager, not as an apply. */
export function keysOf(manager: string, fields: readonly ManagedFields[] = []): MetadataKeys {
  const own = fields.filter((entry) => entry.manager === manager && entry.subresource === undefined);
  const keys = (under: string) => [
    ...new Set(own.flatMap(({ fieldsV1 }) => keysIn(fieldsV1?.["f:metadata"]?.[`f:${under}`]))),
  ];
  return { labels: keys("labels"), annotations: keys("annotations") };
}

/** The last editor other than attaché, if there is one. */
function lastEditor(manager: string, fields: readonly ManagedFields[] = []): string | undefined {
  const own: readonly (string | undefined)[] = [manager, nudger];
  const others = fields.filter((entry) => !own.includes(entry.manager) && entry.subresource === undefined);
  return others.toSorted((one, other) => compare(one.time ?? "", other.time ?? "")).at(-1)?.manager;
}

function keysIn(set: FieldSet | undefined): string[] {
  return Object.keys(set ?? {}).flatMap((field) => (field.startsWith("f:") ? field.slice(2) : []));
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
