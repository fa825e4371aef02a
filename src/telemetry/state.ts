import type { Code } from "../errors/codes.ts";

/** attaché as metrics and probes see it, live: each read gives the present state. */
export interface State {
  /** Whether this replica works; of several on one store, all others wait. */
  readonly isLeader: boolean;
  /** Absent where there is no election. */
  readonly lease?: LeaseState | undefined;
  /** Whether the store is watched: from the start to the end. */
  readonly isRunning: boolean;
  /** Whether {@link State.identities} has all that the store had at the start. */
  readonly isSynced: boolean;
  /** Of the kinds that the store watches; absent where it is a folder. */
  readonly watches?: Iterable<WatchState> | undefined;
  /** The configured meshes. */
  readonly meshes: Iterable<MeshState>;
  readonly identities: Iterable<IdentityState>;
  /** Consumers that name a TLSContext and are not protected by it; absent where that cannot be known. */
  readonly exposures?: Iterable<ExposureState> | undefined;
  /** Absent where no ingress is configured, or another replica watches it. */
  readonly ingress?: IngressState | undefined;
  /** Absent where they come from no file. */
  readonly settings?: SettingsState | undefined;
  /** By name. */
  readonly queues: Readonly<Record<string, QueueState>>;
  /** How far the API server's clock is ahead, in milliseconds; absent without its first answer. */
  readonly clockAheadMs?: number | undefined;
  /** How many MeshCertificates this installation published and may not renew. */
  readonly orphans: number;
}

interface ExposureState {
  readonly severity: "plaintext" | "anonymous" | "unverified";
  readonly consumer: { readonly namespace: string };
}

/** What waits in a work queue. */
export interface QueueState {
  readonly depth: number;
  /** For how long the key has waited that waits longest; 0 if none waits. */
  readonly oldestMs: number;
}

/** Which settings are in force, and whether newer ones were refused. */
export interface SettingsState {
  /** SHA-256 of the file's text, in hex. */
  readonly digest: string;
  /** When they came into force. */
  readonly since: Date;
  /** When and why what the file has now was refused. */
  readonly refused?: { readonly at: Date; readonly code: Code } | undefined;
}

export interface IngressState {
  /** How many pods answered when last asked, did not, or take no configuration at all. */
  readonly pods: { readonly answering: number; readonly silent: number; readonly frozen: number };
  /** How many consumers send without a client certificate now. */
  readonly exposed: number;
  /** What the pods' Envoys presented when last asked. */
  leaves(): Iterable<ServedLeaf>;
}

/** The leaf that a cluster in the Envoy of a pod presents. */
export interface ServedLeaf {
  /** `NAMESPACE/SERVICE` */
  readonly emissary: string;
  readonly pod: string;
  readonly cluster: string;
  /** In seconds since 1970. */
  readonly notAfter: number;
}

export interface LeaseState {
  /** The leader, where it is known. */
  readonly holder?: string | undefined;
  /** Why the Lease cannot be read or written. */
  readonly error?: { readonly code: Code } | undefined;
}

/** The watch of one kind; `absent`: the API server does not know the kind. */
export interface WatchState {
  /** `mappings in namespace edge`. */
  readonly what: string;
  readonly state: "listing" | "synced" | "failing" | "absent";
  /** For how long it is in this state, in milliseconds. */
  readonly forMs: number;
  readonly error?: { readonly code: Code };
}

export interface MeshState {
  readonly name: string;
  /** For how long a root stays trusted that the mesh has dropped. */
  readonly retainMs: number;
  /** As its adapter last reported; absent until it has. */
  readonly connection:
    | { readonly connected: true }
    | { readonly connected: false; readonly error: { readonly code: Code } }
    | undefined;
}

export interface IdentityState {
  readonly namespace: string;
  readonly name: string;
  /** As named in its spec, configured or not. */
  readonly mesh: string;
  /** What it is published as. */
  readonly target: { readonly secret: string; readonly tlsContext: string };
  /** Absent until its first reconciliation in this process. */
  readonly status: IdentityStatus | undefined;
  /** When a published root became valid, by its fingerprint. */
  readonly rootNotBefore: (fingerprint: string) => Date | undefined;
}

/** The part of a status that metrics and probes read; times are RFC 3339. */
export interface IdentityStatus {
  readonly conditions: readonly ConditionState[];
  readonly rootProblems?: readonly { readonly reason: string }[] | undefined;
  readonly spiffeId?: string | undefined;
  readonly notBefore?: string | undefined;
  readonly notAfter?: string | undefined;
  readonly renewalTime?: string | undefined;
  readonly roots?:
    | readonly {
        readonly fingerprint: string;
        readonly notAfter: string;
        readonly state: "active" | "retiring";
      }[]
    | undefined;
}

export interface ConditionState {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  /** One CamelCase word. */
  readonly reason: string;
}

/** Whether what is published for the identity is good. */
export function isReady({ status }: Pick<IdentityState, "status">): boolean {
  return readiness(status)?.status === "True";
}

/** The condition `Ready`. */
export function readiness(status: IdentityStatus | undefined): ConditionState | undefined {
  return status?.conditions.find(({ type }) => type === "Ready");
}
