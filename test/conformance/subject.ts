import type { Adapter, Cluster, MeshErrorCode, WatchOptions } from "../../src/mesh/adapter.ts";

/** An adapter under test, together with a control plane that it can be tried against. */
export interface Subject<S, I, P extends Peer = Peer> {
  readonly adapter: Adapter<S, I>;
  /**
   * Starts a control plane; called once a case. A peer that is slow to start may be shared, and reset here.
   */
  start(): Promise<P>;
  /** Controls that the peer has not, each with the reason: the cases that need one are skipped and say so. */
  readonly gaps?: Readonly<Partial<Record<Control, string>>>;
  /** How the control plane can refuse or break, and how the adapter must classify it. */
  readonly faults?: readonly Fault<P>[];
  /** Identities that the adapter can tell at once it will never get in this mode. */
  readonly refused?: readonly Refused[];
  /** The longest that anything which the control plane must do first may take; 15 s by default. */
  readonly deadlineMs?: number;
}

/** A control plane, real or fake, and the hands on it. Disposed of after each case. */
export interface Peer extends AsyncDisposable {
  /** What a user writes beside `adapter:` to reach it. */
  readonly settings: unknown;
  /** What a user writes under `spec.<kind>`, of an identity that it gives. */
  readonly identity: unknown;
  /** Environment variables for the adapter; none by default. */
  readonly env?: Readonly<Record<string, string>>;
  /** The MeshCertificate's namespace; "conformance" by default. */
  readonly namespace?: string;
  /** Where the adapter's mode needs a Kubernetes cluster. */
  readonly cluster?: Cluster;
  readonly serviceAccountToken?: WatchOptions["serviceAccountToken"];
  /** Tokens and the like, as they stand now, that must not appear in any output. */
  secrets(): readonly string[];
  /** Makes the control plane give a new leaf soon. */
  rotate?(): Promise<void>;
  /** Makes a new root sign, while the old one stays listed. */
  rotateRoot?(): Promise<void>;
  /** Ends a root rotation: only the newest root stays listed. */
  dropOldRoots?(): Promise<void>;
  /** Takes the control plane away: connections break and new ones are refused. */
  stop?(): Promise<void>;
  /** Brings it back after `stop`, at the same address and with the same roots. */
  resume?(): Promise<void>;
}

export const controls = ["rotate", "rotateRoot", "dropOldRoots", "stop", "resume"] as const;
export type Control = (typeof controls)[number];

export interface Fault<P extends Peer> {
  /** Completes "reports … when": "the token lacks the permission". */
  readonly when: string;
  /** As the watch throws it, or as it is reported to `MeshContext.connection`. */
  readonly code: MeshErrorCode;
  readonly inject: (peer: P) => Promise<void>;
  readonly heal: (peer: P) => Promise<void>;
}

export interface Refused {
  /** Completes "refuses": "the identity of another pod". */
  readonly what: string;
  readonly identity: unknown;
}
