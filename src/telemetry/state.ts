import type { Code } from "../errors/codes.ts";

/** attaché as metrics and probes see it. It is live: each look gives what is so at that moment. */
export interface State {
  /** Whether this replica works; of several on one store one does, and the others wait. */
  readonly isLeader: boolean;
  /** How the election stands; absent where there is none. */
  readonly lease?: LeaseState | undefined;
  /** Whether the store is followed; it is not before the start, and after the end. */
  readonly isRunning: boolean;
  /** Whether all identities that the store had at the start are among {@link State.identities}. */
  readonly isSynced: boolean;
  /** The configured meshes. */
  readonly meshes: Iterable<MeshState>;
  readonly identities: Iterable<IdentityState>;
  /** Who uses a TLSContext and is exposed; absent where that cannot be known. */
  readonly exposures?: Iterable<{ readonly severity: "plaintext" | "anonymous" | "unverified" }> | undefined;
  /** How the pods of the ingress are; absent where none is configured, or another replica looks. */
  readonly ingress?: IngressState | undefined;
}

export interface IngressState {
  readonly pods: { readonly answering: number; readonly silent: number; readonly frozen: number };
  readonly exposed: number;
}

export interface LeaseState {
  /** Who leads, as far as is known. */
  readonly holder?: string | undefined;
  /** Why it is not known, or cannot be changed. */
  readonly error?: { readonly code: Code } | undefined;
}

export interface MeshState {
  readonly name: string;
  /** As its adapter last told; absent until it has. */
  readonly connection:
    | { readonly connected: true }
    | { readonly connected: false; readonly error: { readonly code: Code } }
    | undefined;
}

export interface IdentityState {
  readonly namespace: string;
  readonly name: string;
  /** The mesh that it names, configured or not. */
  readonly mesh: string;
  /** Absent until its reconciler has completed a round in this process. */
  readonly status: IdentityStatus | undefined;
}

/** What metrics and probes need of a status; times are RFC 3339. */
export interface IdentityStatus {
  readonly conditions: readonly ConditionState[];
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
