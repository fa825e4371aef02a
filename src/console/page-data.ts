import type { Condition, Status } from "../api/status.ts";
import type { RootRemark } from "../credentials/trust-bundle.ts";
import type { Severity } from "../emissary/exposure.ts";
import type { TargetNames } from "../render/names.ts";

/**
 * What the server of the console sends to its page, as JSON, and `attache inspect` prints. Nothing here holds
 * a key, a token or the text of a certificate. Times are RFC 3339 where they are text, and Unix seconds where
 * they are numbers.
 */

/** How bad something is. `waiting`: it is not known yet, and nothing needs to be done. */
export const levels = ["good", "waiting", "warning", "alarm"] as const;
export type HealthLevel = (typeof levels)[number];

/** One sentence on the first view. */
export interface Answer {
  readonly level: HealthLevel;
  readonly text: string;
  /** What to know or to do, where there is more to say. */
  readonly detail?: string;
  /** A command to copy. */
  readonly command?: string;
}

/** The first view: all of it in one message of the feed, however many identities there are. */
export interface Overview {
  /** Distinguishes states of the identities; for `since` of the next request for them. */
  readonly version: string;
  /** The time of the process, by which the page shows what remains. */
  readonly now: string;
  readonly attache: { readonly version: string; readonly installation: string; readonly place: string };
  readonly verdict: Answer;
  /** Whether attaché works, whether a consumer is exposed, whether all identities are current. */
  readonly answers: { readonly working: Answer; readonly exposed: Answer; readonly current: Answer };
  readonly counts: Readonly<Record<HealthLevel, number>>;
  readonly causes: readonly Cause[];
  readonly moreCauses: number;
  readonly consumers: readonly ExposedConsumer[];
  readonly moreConsumers: number;
  readonly meshes: readonly MeshSummary[];
}

/** One problem, and how many identities have it. */
export interface Cause {
  readonly level: HealthLevel;
  /** Of the condition: `SourceReady`; `Leaf`: it has expired; `Root`: one is planted or otherwise odd. */
  readonly type: string;
  readonly reason: string;
  readonly mesh: string;
  /** The problem and the remedy, as the first of the identities reports it. */
  readonly message: string;
  readonly count: number;
  /** The first identities, as NAMESPACE/NAME. */
  readonly identities: readonly string[];
  readonly command: string;
}

export interface ExposedConsumer {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly severity: Severity;
  readonly message: string;
  readonly command: string;
}

export interface MeshSummary {
  readonly name: string;
  readonly level: HealthLevel;
  /** `connected`, or the problem and the remedy. */
  readonly text: string;
  readonly identities: number;
  readonly ready: number;
  /** Of the last hour, one number for each five minutes, the oldest first. */
  readonly rotations: readonly number[];
  readonly failures: readonly number[];
}

/** An identity in the list. */
export interface IdentityRow {
  /** NAMESPACE/NAME */
  readonly key: string;
  readonly mesh: string;
  readonly level: HealthLevel;
  /** The reason of the worst problem, in one word. */
  readonly reason?: string;
  readonly spiffeId?: string;
  /** Unix seconds. */
  readonly notBefore?: number;
  readonly renewal?: number;
  readonly notAfter?: number;
  readonly consumers: number;
}

/** The identities that have changed since a version, or all. */
export interface IdentityChanges {
  readonly version: string;
  /** Whether `rows` are all identities. */
  readonly isComplete: boolean;
  readonly removed: readonly string[];
  readonly rows: readonly IdentityRow[];
}

/** One identity. */
export interface IdentityDetail {
  readonly row: IdentityRow;
  readonly status?: Omit<Status, "conditions">;
  readonly conditions: readonly (Condition & { readonly level: HealthLevel; readonly next?: string })[];
  /** Of the leaf: `EC P-256`. */
  readonly keyType?: string;
  /** The leaf first. */
  readonly chain: readonly CertificateFacts[];
  readonly roots: readonly (CertificateFacts & {
    readonly state: "active" | "retiring";
    /** Whether it issued the last certificate of the chain. */
    readonly isIssuer: boolean;
    readonly retireAt?: string;
    /** What is odd about it. */
    readonly remark?: RootRemark;
  })[];
  /** Roots of the mesh that are not published, and why. */
  readonly leftOut: readonly RootRemark[];
  readonly users: readonly UserFacts[];
  readonly moreUsers: number;
  /** Of the exposed consumers, why. */
  readonly exposures: readonly ExposedConsumer[];
  readonly published: TargetNames;
  /** Absent where no ingress is watched. */
  readonly pods?: readonly PodFacts[];
  /** Newest first. */
  readonly rotations: readonly Rotation[];
  readonly command: string;
}

/** What uses the published objects. */
interface UserFacts {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly level: HealthLevel;
  /** Of a consumer that the TLSContext does not protect. */
  readonly exposure?: Severity;
  /** The published Secret that it names, if it does not name the TLSContext. */
  readonly secret?: string;
}

export interface CertificateFacts {
  /** Of a leaf its URI, else its subject. */
  readonly name: string;
  readonly issuer: string;
  readonly fingerprint: string;
  readonly serialNumber: string;
  readonly notBefore: string;
  readonly notAfter: string;
}

/** An Emissary pod, and what each of the clusters that use the identity has loaded there. */
export interface PodFacts {
  readonly emissary: string;
  readonly pod: string;
  readonly level: HealthLevel;
  readonly text: string;
  readonly clusters: readonly {
    readonly name: string;
    readonly level: HealthLevel;
    readonly text: string;
    /** When the leaf that it presents ends, in Unix seconds. */
    readonly notAfter?: number;
    readonly since: string;
    readonly consumers: readonly string[];
  }[];
}

export interface Rotation {
  readonly at: string;
  readonly cause: string;
}
