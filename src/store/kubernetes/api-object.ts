import type { ApiObject, ObjectMeta } from "../../kube/object.ts";
import type { Manifest, SecretManifest, TlsContextManifest } from "../../render/manifest.ts";

/** A Secret, TLSContext or MeshCertificate as the API server tells it; of its shape this much is believed. */
export interface StoredObject extends ApiObject {
  readonly metadata: ObjectMeta & {
    readonly namespace: string;
    readonly managedFields?: readonly ManagedFields[];
  };
  /** Of a Secret. */
  readonly type?: string;
  /** Of a Secret: base64 by key. */
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: unknown;
}

/** Who has set which fields (https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management). */
export interface ManagedFields {
  readonly manager?: string;
  readonly time?: string;
  /** `status` for what was written there. */
  readonly subresource?: string;
  readonly fieldsV1?: FieldSet;
}

/** `{"f:metadata": {"f:labels": {".": {}, "f:app": {}}}}` */
export interface FieldSet {
  readonly [field: string]: FieldSet;
}

/** Whether the one resourceVersion is newer than the other: they rise, and compare as numbers (KEP-5504). */
export function isNewer(one: string, other: string): boolean {
  return BigInt(one) > BigInt(other);
}

/** An object of the API as attaché would write it; what the server and others have added to the metadata is left out. */
export function manifestOf(kind: Manifest["kind"], object: StoredObject): Manifest {
  const { namespace, name, labels = {}, annotations = {} } = object.metadata;
  const metadata = { name, namespace, labels, annotations };
  if (kind === "Secret") {
    const { type, data = {} } = object;
    return { apiVersion: "v1", kind, metadata, type: type as SecretManifest["type"], data };
  }
  return {
    apiVersion: "getambassador.io/v3alpha1",
    kind,
    metadata,
    spec: object.spec as unknown as TlsContextManifest["spec"],
  };
}

/** The field manager of nudges: attaché's, and not an editor. */
export const nudger = "attache-nudge";

/** Names of labels and annotations. */
export interface MetadataKeys {
  readonly labels: readonly string[];
  readonly annotations: readonly string[];
}

/** The labels and annotations that `manager` has set. A create counts as an update of that manager, not as an apply. */
export function keysOf(manager: string, fields: readonly ManagedFields[] = []): MetadataKeys {
  const own = fields.filter((entry) => entry.manager === manager && entry.subresource === undefined);
  const keys = (under: string) => [
    ...new Set(own.flatMap(({ fieldsV1 }) => keysIn(fieldsV1?.["f:metadata"]?.[`f:${under}`]))),
  ];
  return { labels: keys("labels"), annotations: keys("annotations") };
}

/** The last editor other than `manager`, if there is one. */
export function lastEditor(manager: string, fields: readonly ManagedFields[] = []): string | undefined {
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
