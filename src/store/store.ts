import type { IdentityKey, MeshCertificate, Status } from "../api/mesh-certificate.ts";
import type { Use } from "../api/status.ts";
import type { Exposure } from "../emissary/exposure.ts";
import type { NameConflict } from "../emissary/name-conflicts.ts";
import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";
import type { Code } from "../errors/codes.ts";
import type { Manifest } from "../render/manifest.ts";
import type { WatchState } from "../telemetry/state.ts";

/** Where MeshCertificates are read, and where targets and statuses are written. */
export interface Store extends AsyncDisposable {
  /**
   * Every MeshCertificate that there is, then `synced`, then each change. Ends only by throwing: the signal's
   * reason on abort, else a {@link StoreError} that no retry can mend.
   * @param isStandby another replica leads: what is published is not read, so that no key comes into memory.
   */
  watch(signal: AbortSignal, isStandby?: boolean): AsyncIterable<StoreEvent>;
  /**
   * Attaché's objects that are published for the identity, in any order; no object that another owner has.
   */
  read(identity: MeshCertificate): Promise<Manifest[]>;
  /**
   * Makes the store hold `manifests`, one after the other in their order; writes only those that differ.
   * What the identity published before and `manifests` no longer names is withdrawn afterwards.
   * After an error, the objects before the one that failed are written; applying again completes it.
   * @throws StoreError
   */
  apply(identity: MeshCertificate, manifests: readonly Manifest[]): Promise<Applied>;
  /** Withdraws all that is published for the identity: TLSContext, leaf Secret, CA Secret, in that order. */
  withdraw(identity: IdentityRef): Promise<void>;
  /**
   * Who names what is published for the identity, as last seen, in an order that does not change by itself.
   */
  usesOf(identity: IdentityRef): readonly Use[];
  /**
   * What conflicts with the names of what the identity publishes, as last seen; absent if the store knows no
   * ingress.
   */
  conflictsOf?(identity: MeshCertificate): readonly NameConflict[];
  /** The exposed consumers of TLSContexts, as last seen; absent if the store records no consumers. */
  readonly exposures?: readonly Exposure[];
  /** How the watches of the kinds stand that it reads; absent if it watches no API server. */
  readonly watches?: readonly WatchState[];
  /** Writes the identity's status if it differs from the one there. @throws StoreError */
  report(identity: MeshCertificate, status: Status): Promise<void>;
}

/** What is left of an identity that is gone. */
export type IdentityRef = Pick<MeshCertificate, "metadata">;

export interface Applied {
  /** How many objects were written; 0 when nothing differed. */
  readonly writes: number;
  /**
   * A problem to report although nothing has failed: another field manager keeps undoing what is published.
   */
  readonly problem?: StoreError;
}

export type { Use } from "../api/status.ts";

export type StoreEvent =
  /**
   * An identity appeared, or its spec, labels, annotations or deletion changed. One that is being deleted and
   * still in use is reported like any other, with its `metadata.deletionTimestamp`.
   */
  | {
      readonly type: "identity";
      readonly identity: MeshCertificate;
      /** What {@link Store.read} would give, where the store has just read it. */
      readonly manifests?: readonly Manifest[];
    }
  /** An identity is gone, or is being deleted and has no consumers: what it published must be withdrawn. */
  | { readonly type: "gone"; readonly identity: IdentityRef }
  /** Another writer edited or deleted what is published for the identity. */
  | { readonly type: "drift"; readonly key: IdentityKey }
  /** What {@link Store.usesOf} or {@link Store.conflictsOf} says of the identity has changed. */
  | { readonly type: "uses"; readonly key: IdentityKey }
  /** An identity, or a file of them, cannot be read; what was known of it stays in force. */
  | { readonly type: "invalid"; readonly error: StoreError }
  /** All that existed at the start has been yielded. */
  | { readonly type: "synced" };

/** A read-only view of an identity: what is wanted, what is reported, what is published. */
export interface IdentityView {
  readonly identity: MeshCertificate;
  /** Absent until a running attaché has looked at the identity. */
  readonly status: Status | undefined;
  /** In a cluster: the installations of attaché that have published something for it. */
  readonly installations: readonly string[];
  manifests(): Promise<Manifest[]>;
}

export interface StoreView {
  /** Sorted by namespace and name. */
  readonly views: readonly IdentityView[];
  /** Why there may be more identities than these. */
  readonly problems: readonly AttacheError[];
}

export type StoreErrorCode = Extract<Code, `ATTACHE_STORE_${string}` | "ATTACHE_DOCUMENT_INVALID">;

/** Why a store could not read a MeshCertificate or write a target. */
export class StoreError extends AttacheError {
  declare readonly code: StoreErrorCode;

  // eslint-disable-next-line @typescript-eslint/no-useless-constructor -- it takes fewer codes than its parent.
  constructor(code: StoreErrorCode, problem: string, options?: AttacheErrorOptions) {
    super(code, problem, options);
  }
}
