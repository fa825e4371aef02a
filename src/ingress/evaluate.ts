import type { OwnCluster } from "../emissary/clusters.ts";
import { consumerKey, type ContextName } from "../emissary/consumer.ts";
import { observedExposure } from "../emissary/exposure.ts";
import { overlap } from "../emissary/fields.ts";
import { servingStateOf, type WantedEnds } from "../emissary/serving-state.ts";
import {
  type ClusterFinding,
  type EmissaryEvaluation,
  type EmissaryObservation,
  isMissing,
  isOutdated,
  type PodObservation,
} from "./observation.ts";
import { isSilent, type ServedVerdict, verdictOf } from "./verdict.ts";

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
      return { finding: { ...pod, clusters: items.map(({ cluster }) => cluster) }, items };
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

  const found = all.map(({ emissary, own, pods }): EmissaryEvaluation => ({
    emissary,
    clusters: own.length,
    pods: pods.map(({ finding }) => finding),
    ...summaryOf(pods.flatMap(({ items }) => items)),
  }));
  const isIncomplete = found.some(
    ({ clusters, pods }) =>
      clusters > 0 && (pods.length === 0 || pods.some((pod) => pod.clusters.some(isMissing))),
  );
  return {
    ...verdictOf(found, search.leafNotAfter),
    emissaries: found,
    isIncomplete,
    isUnobserved: found.every(({ clusters, pods }) => clusters > 0 && pods.every(isSilent)),
    problems: isIncomplete && problems.size > 0 ? problems : noProblems,
  };
}

/**
 * The consumers, by `consumerKey`, that stay protected as long as Emissary is frozen: no pod of an Emissary
 * that sees them takes anything, and each presents a client certificate and verifies the upstream.
 */
export function keptWhileFrozen(emissaries: readonly EmissaryObservation[]): ReadonlySet<string> {
  const frozen = emissaries.filter(
    ({ pods }) => pods.length > 0 && pods.every(({ progress }) => progress?.isFrozen),
  );
  const kept = new Set<string>();
  for (const { clusters, pods } of frozen)
    for (const { consumers, names } of clusters?.all ?? []) {
      const isProtected = pods.every(({ answer }) =>
        names.values().every((list) => {
          const name = list.find((one) => answer?.page.clusters.has(one)) ?? "";
          const { leaves = [], roots = [] } = answer?.page.clusters.get(name) ?? {};
          return leaves.length > 0 && roots.length > 0;
        }),
      );
      if (isProtected) for (const consumer of consumers) kept.add(consumerKey(consumer));
    }
  const others = emissaries.filter((emissary) => !frozen.includes(emissary));
  for (const { consumers } of others.flatMap(({ clusters }) => [...(clusters?.all ?? [])]))
    for (const consumer of consumers) kept.delete(consumerKey(consumer));
  return kept;
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

function summaryOf(items: readonly Item[]): Pick<EmissaryEvaluation, "lateMs" | "nextLateMs" | "exposures"> {
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
