import type { Clusters } from "../emissary/clusters.ts";
import type { Consumer } from "../emissary/consumer.ts";
import type { Exposure } from "../emissary/exposure.ts";
import type { MetricsPage } from "../emissary/metrics-page.ts";
import type { ServingState } from "../emissary/serving-state.ts";
import type { Pod } from "./pods.ts";
import type { Progress } from "./progress.ts";

/** What was observed, and what was found in it. All `Ms` here are of `elapsedMs()`, or durations. */

/** One Emissary-ingress as last observed. */
export interface EmissaryObservation {
  /** `NAMESPACE/SERVICE` */
  readonly name: string;
  readonly ambassadorIds: readonly string[];
  /** Where contexts are used in it; `undefined` until all consumers are listed. */
  readonly clusters: Clusters | undefined;
  /** When the consumers changed last. */
  readonly consumersMs: number;
  readonly pods: readonly PodObservation[];
  /** What may be touched so that it takes what it has missed. */
  readonly touches: Touches;
  /** When any Mapping or TCPMapping changed last. */
  readonly mappingsMs: number;
  /** The longest of its pods. */
  readonly gracePeriodMs: number;
  /** How long it waits before it takes what has changed, as its own settings say. */
  readonly reconfigMaxDelayMs: number;
  /** Why it has no pods, or they are not known. */
  readonly problem: { readonly reason: string; readonly message: string } | undefined;
}

/**
 * `starved`: Mappings change so often that a touch of a TLSContext has no effect, and Mappings may not be
 * touched.
 */
export type Touches = "TLSContext" | "starved" | "Mapping";

export interface PodObservation {
  readonly pod: Pod;
  readonly seenAt: Date;
  readonly answer: PodAnswer | undefined;
  readonly failure: PodFailure | undefined;
  /** Whether it answers: not known to fail, nor overdue. */
  readonly isResponsive: boolean;
  /** `undefined` where its page does not show it. */
  readonly progress: Progress | undefined;
  /** How long it needs to load what is written. */
  readonly neededMs: number;
  /** How long it may take for that. */
  readonly gracePeriodMs: number;
}

export interface PodAnswer {
  readonly page: MetricsPage;
  /** The clusters that were looked for. */
  readonly wanted: ReadonlySet<string>;
  /** When it was asked: later events need not show. */
  readonly askedMs: number;
  readonly askedAt: Date;
}

export interface PodFailure {
  readonly error: unknown;
  /** In a row. */
  readonly count: number;
  /** When the first of them happened. */
  readonly since: Date;
}

/** What one Emissary shows of an identity. */
export interface EmissaryEvaluation {
  readonly emissary: EmissaryObservation;
  /** In how many clusters the identity is used. */
  readonly clusters: number;
  readonly pods: readonly PodFinding[];
  /** Since when something is late that a nudge may heal. */
  readonly lateMs: number | undefined;
  /** When the next thing will be late. */
  readonly nextLateMs: number | undefined;
  readonly exposures: readonly Exposure[];
}

export interface PodFinding extends PodObservation {
  readonly clusters: readonly ClusterFinding[];
}

export interface ClusterFinding {
  readonly name: string;
  /** `awaited`: the pod was not asked since the write. */
  readonly state: ServingState | { readonly kind: "awaited" };
  readonly consumers: readonly Consumer[];
  /** Other contexts whose clusters have the same name in the metrics. */
  readonly candidates: readonly string[];
  /** Whether they are even the same cluster. */
  readonly isShared: boolean;
  /** Since when it has this state. */
  readonly since: Date;
  /** Since when it lacks what is published. */
  readonly lackingMs: number | undefined;
  /** Whether the pod had its grace period to take what was written. */
  readonly isLate: boolean;
}

/**
 * Whether the pod may still have to load something. A series shared with candidates proves only the absence
 * of a certificate.
 */
export function isMissing({ state, candidates }: ClusterFinding): boolean {
  if (state.kind === "served" || state.kind === "unmeasured") return false;
  return candidates.length === 0 || state.kind === "awaited" || state.kind === "exposed";
}

/** Whether it may never come: Emissary may have refused the object that names the context. */
export function isUnlikely({ state, isLate }: ClusterFinding): boolean {
  return state.kind === "absent" && isLate;
}

/** Whether the cluster certainly presents an old leaf or verifies by old roots. */
export function isOutdated({ state, candidates }: ClusterFinding): boolean {
  return candidates.length === 0 && (state.kind === "oldLeaf" || state.kind === "oldRoots");
}
