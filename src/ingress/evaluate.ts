import type { Clusters, OwnCluster } from "../emissary/clusters.ts";
import type { ContextName } from "../emissary/consumer.ts";
import { type Exposure, observedExposure } from "../emissary/exposure.ts";
import { overlap } from "../emissary/fields.ts";
import type { MetricsPage } from "../emissary/metrics-page.ts";
import { servingStateOf, type WantedEnds } from "../emissary/serving-state.ts";
import type { Pod } from "./pods.ts";
import {
  type ClusterFinding,
  type EmissaryFinding,
  isMissing,
  isOutdated,
  type PodFinding,
  type ServedVerdict,
  type Touches,
  verdictOf,
} from "./verdict.ts";

/** One Emissary-ingress as last observed; all `Ms` here are of `elapsedMs()`. */
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
  readonly problem: EmissaryFinding["problem"];
}

export interface PodObservation {
  readonly pod: Pod;
  readonly seenAt: Date;
  readonly answer: PodAnswer | undefined;
  readonly failure: PodFailure | undefined;
  /** Whether it answers: not known to fail, nor overdue. */
  readonly isResponsive: boolean;
  /** Whether it takes no configuration at all. */
  readonly isFrozen: boolean;
  /** Whether it is not known to have taken anything since the last nudge. */
  readonly isUnresponsive: boolean;
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
}

export interface PodFailure {
  readonly error: unknown;
  /** In a row. */
  readonly count: number;
  /** When the first of them happened. */
  readonly since: Date;
}

/** What the pods must show for one identity. */
export interface Search {
  readonly contexts: readonly ContextName[];
  readonly wanted: WantedEnds;
  readonly leafNotAfter: Date;
  /** When it was written: what a pod showed before does not count. */
  readonly sinceMs: number;
  /** From the evaluation before. */
  readonly problems: Problems;
}

/** Since when pods show what they should not, by Emissary, pod and cluster. */
type Problems = ReadonlyMap<string, Problem>;

interface Problem {
  readonly kind: string;
  readonly since: Date;
  readonly sinceMs: number;
}

export const noProblems: Problems = new Map();

export interface Evaluation extends ServedVerdict {
  /** One for each Emissary that sees a context of the identity. */
  readonly emissaries: readonly EmissaryEvaluation[];
  /** Whether any pod has something left to load, or the pods are not known. */
  readonly isIncomplete: boolean;
  /** Whether no pod tells what it has loaded. */
  readonly isUnobserved: boolean;
  readonly problems: Problems;
}

export interface EmissaryEvaluation {
  readonly name: string;
  readonly pods: readonly PodFinding[];
  /** Since when something is late that a nudge may heal. */
  readonly lateMs: number | undefined;
  /** When the next thing will be late. */
  readonly nextLateMs: number | undefined;
  readonly exposures: readonly Exposure[];
}

/** A pod that fails as often in a row counts as silent. */
const failuresUntilSilent = 3;

/** Compares what the Emissaries show with what is expected of them for one identity. Pure. */
export function evaluate(
  search: Search,
  emissaries: readonly EmissaryObservation[],
  now: { readonly date: Date; readonly elapsedMs: number },
): Evaluation {
  const problems = new Map<string, Problem>();
  const all = emissaries.flatMap((emissary) => {
    const contexts = contextsIn(emissary, search.contexts);
    if (contexts.length === 0) return [];
    const own = emissary.clusters?.of(contexts) ?? [];
    const pods = emissary.pods.map((pod) => {
      const items = own.map((cluster) => evaluateCluster(cluster, pod, emissary));
      return { finding: findingOf(pod, items), items };
    });
    return [{ emissary, own, pods }];
  });

  function evaluateCluster(own: OwnCluster, observed: PodObservation, emissary: EmissaryObservation): Item {
    const { pod, seenAt, gracePeriodMs } = observed;
    const state = stateOf(own, observed, search);
    const key = `${emissary.name} ${pod.name}/${pod.address} ${own.name}`;
    const problem = problemOf(state, search.problems.get(key), observed, emissary);
    if (problem !== undefined) problems.set(key, problem);
    const lateMs = problem && Math.max(problem.sinceMs, search.sinceMs) + gracePeriodMs;
    const { consumers, candidates, isShared } = own;
    // What was never taken was written then; what was lost, or never there, shows since then.
    const isOld = state.kind === "oldLeaf" || state.kind === "oldRoots";
    const lackingMs = isOld ? search.sinceMs : problem && Math.max(problem.sinceMs, search.sinceMs);
    return {
      lateMs,
      cluster: {
        ...{ state, consumers, candidates, isShared, lackingMs },
        name: "name" in state ? state.name : own.name,
        since: problem?.since ?? seenAt,
        isLate: lateMs !== undefined && now.elapsedMs >= lateMs,
      },
    };
  }

  function problemOf(
    { kind }: ClusterFinding["state"],
    before: Problem | undefined,
    { answer }: PodObservation,
    { consumersMs }: EmissaryObservation,
  ): Problem | undefined {
    if (kind === "served") return undefined;
    if (kind === "awaited" || before?.kind === kind) return before;
    // A Mapping may have changed after the page: its pod has the grace period from then on.
    return { kind, since: now.date, sinceMs: Math.max(answer?.askedMs ?? now.elapsedMs, consumersMs) };
  }

  const findings = all.map(({ emissary: { name, touches, problem }, own, pods }) => ({
    name,
    touches,
    problem: own.length > 0 && pods.length === 0 ? problem : undefined,
    clusters: own.length,
    pods: pods.map(({ finding }) => finding),
  }));
  const isIncomplete = findings.some(
    ({ pods, problem, clusters }) =>
      problem !== undefined ||
      (clusters > 0 && pods.length === 0) ||
      pods.some((pod) => pod.clusters.some(isMissing)),
  );
  return {
    ...verdictOf(findings, search.leafNotAfter),
    emissaries: all.map(({ emissary: { name }, pods }) => ({
      name,
      pods: pods.map(({ finding }) => finding),
      ...summaryOf(pods.flatMap(({ items }) => items)),
    })),
    isIncomplete,
    isUnobserved: findings.every(
      ({ clusters, pods }) => clusters > 0 && pods.every(({ silence }) => silence !== undefined),
    ),
    problems: isIncomplete && problems.size > 0 ? problems : noProblems,
  };
}

/** The contexts of an identity that an Emissary sees; most often all, and then the same array. */
export function contextsIn(
  { ambassadorIds }: Pick<EmissaryObservation, "ambassadorIds">,
  contexts: readonly ContextName[],
): readonly ContextName[] {
  const seen = contexts.filter((context) => overlap(context.ambassadorIds, ambassadorIds));
  return seen.length === contexts.length ? contexts : seen;
}

interface Item {
  readonly cluster: ClusterFinding;
  readonly lateMs: number | undefined;
}

function stateOf(
  { names }: OwnCluster,
  { answer, failure }: PodObservation,
  { wanted, sinceMs }: Search,
): ClusterFinding["state"] {
  const isAsked = names.every((list) => list.every((name) => answer?.wanted.has(name)));
  if (answer === undefined || answer.askedMs < sinceMs || !isAsked) return { kind: "awaited" };
  const state = servingStateOf(answer.page, names, wanted);
  // A pod that has fallen silent may have changed since.
  return failure !== undefined && state.kind !== "served" ? { kind: "awaited" } : state;
}

function findingOf(
  { pod, answer, failure, isResponsive, isFrozen, isUnresponsive, neededMs }: PodObservation,
  items: readonly Item[],
): PodFinding {
  const clusters = items.map(({ cluster }) => cluster);
  const isSilent = failure !== undefined && failure.count >= failuresUntilSilent;
  const isServed = clusters.every(({ state }) => state.kind === "served");
  return {
    name: pod.name,
    ...{ isResponsive, isFrozen, isUnresponsive, neededMs, clusters },
    askedMs: answer?.askedMs ?? -Infinity,
    silence: isSilent && !isServed ? failure : undefined,
  };
}

function summaryOf(items: readonly Item[]): Omit<EmissaryEvaluation, "name" | "pods"> {
  const late = items.filter(({ cluster }) => cluster.isLate);
  const exposed = late.filter(({ cluster }) => cluster.state.kind === "exposed");
  const healable = late.filter(({ cluster }) => cluster.state.kind === "exposed" || isOutdated(cluster));
  return {
    lateMs: least(healable.map(({ lateMs }) => lateMs)),
    nextLateMs: least(items.map(({ cluster, lateMs }) => (cluster.isLate ? undefined : lateMs))),
    exposures: exposed.flatMap(({ cluster }) => cluster.consumers.map(observedExposure)),
  };
}

/** The minimum. `Math.min(...numbers)` fails with some hundred thousand numbers. */
export function least(numbers: Iterable<number | undefined>): number | undefined {
  let found: number | undefined;
  for (const one of numbers) if (one !== undefined && (found === undefined || one < found)) found = one;
  return found;
}
