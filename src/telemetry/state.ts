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
  readonly exposures?: Iterable<{ readonly severity: "plaintext" | "anonymous" | "unverified" }> | undefined;
  /** Absent where no ingress is configured, or another replica watches it. */
  readonly ingress?: IngressState | undefined;
  /** Absent where they come from no file. */
  readonly settings?: SettingsState | undefined;
  /** How many keys wait in each work queue, by its name. */
  readonly queues: Readonly<Record<string, number>>;
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
  /** Absent until its first reconciliation in this process. */
  readonly status: IdentityStatus | undefined;
}

/** The part of a status that metrics and probes read; times are RFC 3339. */
export interface IdentityStatus {
  readonly conditions: readonly ConditionState[];
  readonly rootProblems?: readonly { readonly reason: string }[] | undefined;
  readonly notBefore?: string | undefined;
  readonly notAfter?: string | undefined;
  readonly renewalTime?: string | undefined;
  readonly roots?:
    readonly { readonly notAfter: string; readonly state: "active" | "retiring" }[] | undefined;
}

export interface ConditionState {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  /** One CamelCase word. */
  readonly reason: string;
}

/** Whether what is published for the identity is good. */
export function isReady({ status }: IdentityState): boolean {
  return (
    status?.conditions.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false
  );
}
