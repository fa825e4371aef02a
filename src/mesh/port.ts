import type { ZodType } from "zod";
import type { Clock } from "../runtime/clock.ts";
import type { Credential } from "../credentials/credential.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { MeshError } from "./errors.ts";

/**
 * The code for one kind of mesh. `S`: a mesh's settings, `I`: what a MeshCertificate says of the identity.
 */
export interface Adapter<S, I> {
  /** The name under `meshes.NAME.adapter`, and of the source in `spec`. */
  readonly kind: string;
  /** What stands beside `adapter:` in the settings; strict, with defaults. */
  readonly settings: ZodType<S>;
  /** What stands under `spec.<kind>`; strict, with defaults. */
  readonly identity: ZodType<I>;
  readonly defaults: AdapterDefaults;
  /**
   * The SPIFFE IDs that count as `identity`, as a pattern in which `*` stands for what the mesh chooses:
   * `spiffe://*\/ns/default/dc/*\/svc/web`. A credential for any other ID is rejected.
   */
  expected(identity: I, bearer: IdentityOwner): string;
  /**
   * Makes a mesh ready to be watched; does not wait for the control plane, which may come later.
   * @throws MeshError only for settings that can never work (a file that must exist and does not).
   */
  connect(settings: S, context: MeshContext): Promise<Mesh<I>>;
}

/** Which MeshCertificate an identity is asked for by. */
export interface IdentityOwner {
  readonly namespace: string;
}

/** What is usual for this kind of mesh, where neither settings nor MeshCertificate say otherwise. */
export interface AdapterDefaults {
  /** How long a root that the mesh has dropped stays trusted, in milliseconds. */
  readonly retainMs: number;
  /** `alpn_protocols` of the TLSContext; absent: none. */
  readonly alpnProtocols?: string;
}

/** One connection to one control plane. Owns what is shared (channel, stream of roots) and its back-off. */
export interface Mesh<I> extends AsyncDisposable {
  /**
   * Yields complete credentials of `identity`, the present one first, then each new one. A consumer that is
   * slow misses credentials, and sees the newest when it comes back. The first may be yielded again after a
   * reconnect: equal ones cost nothing downstream.
   *
   * Ends only by throwing: the signal's reason within a second of its abort, else a {@link MeshError} for
   * what concerns this identity; the caller watches again after a back-off. A control plane that is away is
   * no such error: the mesh reports it to `MeshContext.connection` and reconnects by itself.
   */
  watch(identity: I, options: WatchOptions): AsyncIterable<Credential>;
  /** What an operator should know of this mesh now; asks the control plane, never throws. */
  check(): Promise<Check[]>;
}

export interface WatchOptions extends IdentityOwner {
  readonly signal: AbortSignal;
  /** What is published for the identity, so that an adapter that signs CSRs goes on from it. */
  readonly current?: Credential;
  /**
   * Mints a token of a ServiceAccount in the MeshCertificate's own namespace (a Kubernetes TokenRequest).
   * Only a watch can ask, so that nothing is minted before the allow list has agreed to the identity.
   * @throws MeshError `ATTACHE_MESH_TOKEN` if the cluster gives none, or there is no cluster.
   */
  serviceAccountToken(request: TokenRequest): Promise<ServiceAccountToken>;
}

/** As of `authentication.k8s.io/v1`. */
export interface TokenRequest {
  readonly serviceAccount: string;
  /** None: that of the API server itself. */
  readonly audiences: readonly string[];
  /** 600 s at least, says the API server; it may give another. */
  readonly expirationSeconds: number;
  readonly signal: AbortSignal;
}

export interface ServiceAccountToken {
  readonly token: string;
  readonly expiresAt: Date;
}

/**
 * What an adapter may read of the Kubernetes cluster. Both yield what is there now, then each change. They
 * end only by throwing: the signal's reason, or a MeshError `ATTACHE_MESH_CLUSTER` that says what attaché may
 * not read, or why not.
 */
export interface Cluster {
  /** The `data` of a ConfigMap in attaché's own namespace; `undefined` while there is none. */
  configMap(name: string, signal: AbortSignal): AsyncIterable<Readonly<Record<string, string>> | undefined>;
  /**
   * The PEM of the ClusterTrustBundle of that name; `undefined` while there is none, or the cluster knows no
   * such kind.
   */
  clusterTrustBundle(name: string, signal: AbortSignal): AsyncIterable<string | undefined>;
}

/** One line of `attache doctor`. */
export interface Check {
  /** What was looked at, in a few words: "ACL token", "TLS to consul:8501". */
  readonly name: string;
  readonly status: "ok" | "warning" | "failed";
  /** What was seen. */
  readonly message: string;
  /** What to do; absent when `status` is "ok". */
  readonly remedy?: string;
}

/** An adapter's only way to the outside, besides the control plane itself. */
export interface MeshContext {
  /** The mesh's name in the settings. */
  readonly name: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Environment variables, for the names that users of the mesh know (`CONSUL_HTTP_ADDR`). */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The trust domain that every credential of the mesh must be of, where the settings name one. */
  readonly trustDomain?: string;
  /** Absent where attaché has none to talk to. */
  readonly cluster?: Cluster;
  /**
   * Reports whether the control plane is reachable: the metric, and the reason shown while identities wait.
   */
  connection(state: ConnectionState): void;
}

export type ConnectionState =
  { readonly connected: true } | { readonly connected: false; readonly error: MeshError };
