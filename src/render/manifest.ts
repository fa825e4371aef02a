/** A Kubernetes object as attaché writes it. Values of `data` are base64, as in the API. */
export type Manifest = SecretManifest | TlsContextManifest;

export interface ManifestMetadata {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface SecretManifest {
  readonly apiVersion: "v1";
  readonly kind: "Secret";
  readonly metadata: ManifestMetadata;
  readonly type: "kubernetes.io/tls" | "Opaque";
  readonly data: Readonly<Record<string, string>>;
}

/** TLSContext of getambassador.io/v3alpha1, the fields that attaché sets (see the Emissary CRDs). */
export interface TlsContextManifest {
  readonly apiVersion: "getambassador.io/v3alpha1";
  readonly kind: "TLSContext";
  readonly metadata: ManifestMetadata;
  readonly spec: {
    readonly ambassador_id: readonly string[];
    readonly secret: string;
    readonly ca_secret: string;
    readonly crl_secret?: string;
    /** Always written: Emissary's Helm chart turns the default off. */
    readonly secret_namespacing: false;
    readonly alpn_protocols?: string;
    readonly sni?: string;
    readonly min_tls_version?: string;
    readonly max_tls_version?: string;
    readonly cipher_suites?: readonly string[];
    readonly ecdh_curves?: readonly string[];
  };
}
