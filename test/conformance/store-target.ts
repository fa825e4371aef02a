import type { MeshCertificate } from "../../src/api/mesh-certificate.ts";
import type { Manifest, ManifestMetadata } from "../../src/render/manifest.ts";
import { ownershipAnnotations } from "../../src/render/marks.ts";
import { targetNames } from "../../src/render/names.ts";

/** What an identity's target looks like to a store, for which keys and certificates are but bytes. */
export function targetOf(
  identity: MeshCertificate,
  version: TargetVersion | string,
  installation = "attache",
): [ca: Manifest, leaf: Manifest, context: Manifest] {
  const { ca, leaf, alpn = "istio" } = typeof version === "string" ? { ca: version, leaf: version } : version;
  const { secret, caSecret, tlsContext } = targetNames(identity);
  const { namespace, uid = "" } = identity.metadata;
  const metadata = (name: string, annotations: Readonly<Record<string, string>> = {}): ManifestMetadata => ({
    name,
    namespace,
    labels: { ...identity.spec.target.labels, [ownershipAnnotations.installation]: installation },
    annotations: {
      [ownershipAnnotations.installation]: installation,
      [ownershipAnnotations.identity]: uid,
      [ownershipAnnotations.name]: identity.metadata.name,
      ...annotations,
    },
  });
  return [
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: metadata(caSecret, { [ownershipAnnotations.roots]: "[]" }),
      type: "Opaque",
      data: { "tls.crt": base64(`roots ${ca}`) },
    },
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: metadata(secret),
      type: "kubernetes.io/tls",
      data: { "tls.crt": base64(`chain ${leaf}`), "tls.key": base64(`key ${leaf}`) },
    },
    {
      apiVersion: "getambassador.io/v3alpha1",
      kind: "TLSContext",
      metadata: metadata(tlsContext, identity.spec.target.tlsContext.annotations),
      spec: {
        ambassador_id: ["default"],
        secret,
        ca_secret: caSecret,
        secret_namespacing: false,
        alpn_protocols: alpn,
      },
    },
  ];
}

export interface TargetVersion {
  readonly ca: string;
  readonly leaf: string;
  readonly alpn?: string;
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
