import type { Manifest, TlsContextManifest } from "../../render/manifest.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { digestOf, type MetadataKeys, type ObservedObject } from "../backend.ts";
import type { FieldSet, ManagedFields, StoredObject } from "./api-object.ts";

/** The field manager of nudges: attaché's, and not an editor. */
export const nudger = "attache-nudge";

const prefix = "attache.dev/";

/** What is kept of an object. @param manager the field manager of this installation. */
export function observe(kind: Manifest["kind"], object: StoredObject, manager: string): ObservedObject {
  const { namespace, name, uid, resourceVersion, managedFields } = object.metadata;
  const { labels = {}, annotations = {} } = object.metadata;
  const content = contentIn(kind, isAdopted(object) ? withoutKept(object) : object);
  const own = keysOf(manager, managedFields);
  const isNoted = (key: string) => key.startsWith(prefix) || own.annotations.includes(key);
  return {
    ...{ kind, namespace, name, uid, resourceVersion, labels, own },
    annotations: Object.fromEntries(Object.entries(annotations).filter(([key]) => isNoted(key))),
    editor: lastEditor(manager, managedFields),
    ...(content !== undefined && { content }),
    // As attaché has written it, or as another client has overwritten it: either way it is read as such a spec.
    ...(kind === "TLSContext" && { spec: (object.spec ?? {}) as unknown as TlsContextManifest["spec"] }),
  };
}

export function isAdopted({ metadata: { annotations = {} } }: Pick<StoredObject, "metadata">): boolean {
  return annotations[ownershipAnnotations.adopted] === "true";
}

/** Whether an adopted object keeps what stands under `key`: attaché has no field for it. */
export function isKept(kind: Manifest["kind"], key: string): boolean {
  return !written[kind].has(key) && !unkeepable[kind].has(key);
}

/**
 * What an object must not hold beside what attaché publishes. Emissary would read it as another key, as roots or as a list
 * of revoked certificates, Envoy would refuse the context.
 */
export const unkeepable: Readonly<Record<Manifest["kind"], ReadonlySet<string>>> = {
  Secret: new Set(["cert-chain.pem", "key.pem", "root-cert.pem", "crl.pem", "user.key", "cert_required"]),
  TLSContext: new Set([
    ...["cert_chain_file", "private_key_file", "cacert_chain_file", "cert_required", "crl_secret"],
  ]),
};

/** What attaché has a field for. */
const written: Readonly<Record<Manifest["kind"], ReadonlySet<string>>> = {
  Secret: new Set(["tls.crt", "tls.key", "crl.pem"]),
  TLSContext: new Set([
    ...["ambassador_id", "secret", "ca_secret", "crl_secret", "secret_namespacing", "alpn_protocols", "sni"],
    ...["min_tls_version", "max_tls_version", "cipher_suites", "ecdh_curves"],
  ]),
};

function withoutKept({ data, spec, ...object }: StoredObject): StoredObject {
  const without = <T>(kind: Manifest["kind"], fields: Readonly<Record<string, T>>) =>
    Object.fromEntries(Object.entries(fields).filter(([key]) => !isKept(kind, key)));
  return {
    ...object,
    ...(data && { data: without("Secret", data) }),
    ...(spec && { spec: without("TLSContext", spec) }),
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
  return shared({ labels: keys("labels"), annotations: keys("annotations") });
}

/** Thousands of objects have the same keys: they are kept once, of so many kinds at most. */
const known = new Map<string, MetadataKeys>();
const maxKnown = 64;
const maxKnownLength = 1_024;

function shared(keys: MetadataKeys): MetadataKeys {
  const text = JSON.stringify(keys);
  const same = known.get(text);
  if (same === undefined && known.size < maxKnown && text.length <= maxKnownLength) known.set(text, keys);
  return same ?? keys;
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
