import type { Manifest, SecretManifest, TlsContextManifest } from "../../render/manifest.ts";
import type { StoredObject } from "./api-object.ts";

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
