import { resources } from "../../kube/resources.ts";
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

export const resourceOf = { Secret: resources.secrets, TLSContext: resources.tlsContexts };

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
