import { type MeshCertificate } from "../api/mesh-certificate.ts";
import type { Credential } from "../credentials/credential.ts";
import type { Crl } from "../credentials/crl.ts";
import { privateKeyPem } from "../credentials/keys.ts";
import type { Retention } from "../credentials/trust-bundle.ts";
import type { Manifest, ManifestMetadata, SecretManifest, TlsContextManifest } from "./manifest.ts";
import { ownershipAnnotations } from "./marks.ts";
import { targetNames } from "./names.ts";
import { writeRootRecord } from "./root-record.ts";

interface Rendering {
  readonly identity: MeshCertificate;
  readonly credential: Credential;
  /** The roots to publish: those of the credential and those that have not retired yet. */
  readonly retention: Retention;
  /** Absent: none are wanted. */
  readonly revocation?: PublishedRevocation | undefined;
  readonly installation: string;
  /** What the mesh's workloads need, where the MeshCertificate does not say. */
  readonly alpnProtocols?: string;
}

/** The revocation lists of a target. */
export interface PublishedRevocation {
  /** None: there is no Secret. */
  readonly lists: readonly Crl[];
  /** Whether the TLSContext names the Secret, so that Envoy checks. */
  readonly isChecked: boolean;
}

/**
 * A target, in the order in which it must be written: a reader in between finds a bundle that fits. The same input
 * gives the same manifests to the byte: an equal one needs no write.
 */
export function render(rendering: Rendering): readonly Manifest[] {
  return [caSecret(rendering), ...crlSecret(rendering), leafSecret(rendering), tlsContext(rendering)];
}

/** Opaque, and in `tls.crt`: Emissary reads no other key as `ca_secret` (emissary#3994). */
function caSecret(rendering: Rendering): SecretManifest {
  const { identity, retention } = rendering;
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: metadata(rendering, targetNames(identity).caSecret, {
      [ownershipAnnotations.roots]: writeRootRecord(retention.roots),
    }),
    type: "Opaque",
    data: { "tls.crt": pem(retention.bundle) },
  };
}

function crlSecret(rendering: Rendering): SecretManifest[] {
  const { crlSecret: name } = targetNames(rendering.identity);
  const { lists = [] } = rendering.revocation ?? {};
  if (name === undefined || lists.length === 0) return [];
  return [
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: metadata(rendering, name),
      type: "Opaque",
      data: { "crl.pem": pem(lists) },
    },
  ];
}

/** Emissary validates only the first block of each: one block of key, and the leaf first. */
function leafSecret(rendering: Rendering): SecretManifest {
  const { identity, credential } = rendering;
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: metadata(rendering, targetNames(identity).secret),
    type: "kubernetes.io/tls",
    data: { "tls.crt": pem(credential.chain), "tls.key": base64(privateKeyPem(credential.key)) },
  };
}

function tlsContext(rendering: Rendering): TlsContextManifest {
  const { identity, revocation } = rendering;
  const names = targetNames(identity);
  const {
    ambassadorId,
    alpnProtocols = rendering.alpnProtocols,
    sni,
    minTlsVersion,
    maxTlsVersion,
    cipherSuites,
    ecdhCurves,
    annotations,
  } = identity.spec.target.tlsContext;
  const marked = metadata(rendering, names.tlsContext);
  return {
    apiVersion: "getambassador.io/v3alpha1",
    kind: "TLSContext",
    metadata: { ...marked, annotations: { ...annotations, ...marked.annotations } },
    spec: {
      ambassador_id: ambassadorId,
      secret: names.secret,
      ca_secret: names.caSecret,
      ...(revocation?.isChecked && names.crlSecret && { crl_secret: names.crlSecret }),
      // Secret names may hold dots, which Emissary would take for a namespace.
      secret_namespacing: false,
      ...(alpnProtocols && { alpn_protocols: alpnProtocols.replaceAll(" ", "") }),
      ...(sni && { sni }),
      ...(minTlsVersion && { min_tls_version: minTlsVersion }),
      ...(maxTlsVersion && { max_tls_version: maxTlsVersion }),
      ...(cipherSuites && { cipher_suites: cipherSuites }),
      ...(ecdhCurves && { ecdh_curves: ecdhCurves }),
    },
  };
}

function metadata(
  { identity, installation }: Rendering,
  name: string,
  annotations: Readonly<Record<string, string>> = {},
): ManifestMetadata {
  const { namespace, uid = "" } = identity.metadata;
  return {
    name,
    namespace,
    labels: { ...identity.spec.target.labels, [ownershipAnnotations.installation]: installation },
    annotations: {
      [ownershipAnnotations.installation]: installation,
      [ownershipAnnotations.identity]: uid,
      [ownershipAnnotations.name]: identity.metadata.name,
      ...annotations,
    },
  };
}

function pem(objects: readonly { toPem(): string }[]): string {
  return base64(objects.map((object) => object.toPem()).join(""));
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
