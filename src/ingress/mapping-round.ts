import { type Consumer, consumerKey, isMapping, snapshotWindowMs } from "../emissary/consumer.ts";
import type { MetricsPage } from "../emissary/metrics-page.ts";
import { least } from "./evaluate.ts";
import { type EmissaryEvaluation, isOutdated } from "./observation.ts";

/**
 * Which Mappings to touch. Emissary rebuilds the cluster of a changed Mapping from the Secrets as they are,
 * also in a snapshot in which it ignores the touch of a TLSContext. Pure; all `Ms` are of `elapsedMs()`, or
 * durations.
 */

/** Of one round. */
const maxTouches = 50;
const roundMs = 1_000;

/** Beyond the time that Emissary needs for a snapshot. */
const marginMs = 100;

/**
 * After as many touches without effect TLSContexts are touched too, and the pause between the touches
 * doubles, up to a minute.
 */
const maxIneffective = 3;
const maxPauseMs = 60_000;

/** The touches of one Emissary's Mappings. */
export interface MappingHistory {
  /** When the last round was. */
  readonly lastMs: number;
  /** By cluster, while it lacks something. */
  readonly touches: ReadonlyMap<string, Touches>;
}

interface Touches {
  readonly count: number;
  readonly lastMs: number;
  /** What the pods showed before the last one, by name. */
  readonly shown: ReadonlyMap<string, Shown>;
}

type Shown = Pick<MetricsPage, "updates" | "reconfigurationMs">;

const untouched: Touches = { count: 0, lastMs: -Infinity, shown: new Map() };

export const noMappingTouched: MappingHistory = { lastMs: -Infinity, touches: new Map() };

export interface MappingRound {
  /**
   * What to touch, in this order: one Mapping of each cluster, roots before leaves, the longest untouched
   * first.
   */
  readonly due: readonly Consumer[];
  readonly history: MappingHistory;
  /** When to ask for the next round. */
  readonly nextMs: number | undefined;
  /** Whether the last answers of pods are too old to justify a touch. */
  readonly needsAnswers: boolean;
  /** Whether there is anything to touch, and nothing else is needed to heal what is missing. */
  readonly isSufficient: boolean;
}

/**
 * @param isTouchable whether attaché may touch the object
 * @param changedMs when any Mapping changed last
 */
export function mappingRound(
  evaluations: readonly EmissaryEvaluation[],
  history: MappingHistory,
  isTouchable: (consumer: Consumer) => boolean,
  changedMs: number,
  nowMs: number,
): MappingRound {
  const all = lackingClusters(evaluations, history, changedMs);
  const lacking = all.flatMap((cluster) => {
    const mappings = cluster.consumers.filter((one) => isMapping(one) && isTouchable(one));
    // Another one each time: Emissary may have refused the first.
    const mapping = mappings[cluster.count % mappings.length];
    return mapping === undefined ? [] : [{ ...cluster, mapping }];
  });
  const ready = lacking.filter(({ dueMs, askedMs }) => nowMs >= dueMs && askedMs >= dueMs);
  const isTime = nowMs >= history.lastMs + roundMs;
  const due = isTime ? ready.toSorted(byUrgency).slice(0, maxTouches) : [];
  const lastMs = due.length > 0 ? nowMs : history.lastMs;
  return {
    due: due.map(({ mapping }) => mapping),
    history: { lastMs, touches: touchesAfter(history, all, due, nowMs) },
    nextMs: least([
      ready.length > due.length ? lastMs + roundMs : undefined,
      ...lacking.map(({ dueMs }) => (nowMs < dueMs ? dueMs : undefined)),
    ]),
    needsAnswers: lacking.some(({ dueMs, askedMs }) => nowMs >= dueMs && askedMs < dueMs),
    isSufficient:
      lacking.length > 0 &&
      lacking.length === all.length &&
      lacking.every(({ count }) => count < maxIneffective),
  };
}

interface LackingCluster extends Touches {
  readonly key: string;
  readonly consumers: readonly Consumer[];
  /** Whether it does not verify by the published roots, or presents nothing. */
  readonly isUrgent: boolean;
  /** From when on an answer that lacks it justifies a touch. */
  readonly dueMs: number;
  /** When the pod was asked that shows it. */
  readonly askedMs: number;
  /** What the pods show of which it is. */
  readonly showing: ReadonlyMap<string, Shown>;
}

function lackingClusters(
  evaluations: readonly EmissaryEvaluation[],
  { touches }: MappingHistory,
  changedMs: number,
): LackingCluster[] {
  const found = new Map<string, LackingCluster>();
  for (const { pod, neededMs, answer, progress, clusters } of evaluations.flatMap(({ pods }) => pods))
    for (const cluster of clusters) {
      const { state, consumers, lackingMs } = cluster;
      if (lackingMs === undefined || progress?.isFrozen || !(isOutdated(cluster) || state.kind === "exposed"))
        continue;
      // Emissary rebuilds the clusters of others from each snapshot.
      if (!consumers.some(isMapping)) continue;
      const [first] = consumers;
      const key = `${cluster.name} ${first === undefined ? "" : consumerKey(first)}`;
      const touched = touches.get(key) ?? untouched;
      const { count, lastMs, shown } = touched;
      const before = found.get(key);
      const isKnownToMiss =
        count === 0
          ? // What shares a snapshot with a Mapping is lost: no use in waiting for it.
            changedMs >= lackingMs - snapshotWindowMs
          : hasReconfigured(shown.get(pod.name), answer?.page);
      const sinceMs = Math.max(lackingMs, lastMs + pauseMs(count));
      const dueMs = isKnownToMiss ? sinceMs : sinceMs + neededMs + marginMs;
      found.set(key, {
        ...{ key, consumers, ...touched },
        isUrgent: state.kind !== "oldLeaf" || (before?.isUrgent ?? false),
        dueMs: Math.max(dueMs, before?.dueMs ?? dueMs),
        askedMs: Math.max(answer?.askedMs ?? -Infinity, before?.askedMs ?? -Infinity),
        showing: new Map([...(before?.showing ?? []), [pod.name, answer?.page ?? {}]]),
      });
    }
  return [...found.values()];
}

/**
 * Whether Emissary has begun and ended a reconfiguration since `before`: the first to end may have begun
 * earlier. Updates of endpoints are counted as well, but leave its timer alone.
 */
function hasReconfigured(before: Shown | undefined, now: Shown | undefined): boolean {
  if (before?.updates === undefined || now?.updates === undefined) return false;
  // A new Envoy counts from 0.
  if (now.updates < before.updates) return true;
  return now.updates >= before.updates + 2 && now.reconfigurationMs !== before.reconfigurationMs;
}

function pauseMs(count: number): number {
  return count < maxIneffective ? 0 : Math.min(roundMs * 2 ** (count - maxIneffective), maxPauseMs);
}

function byUrgency(one: LackingCluster, other: LackingCluster): number {
  return (
    Number(other.isUrgent) - Number(one.isUrgent) || one.lastMs - other.lastMs || one.dueMs - other.dueMs
  );
}

function touchesAfter(
  { touches }: MappingHistory,
  all: readonly LackingCluster[],
  due: readonly LackingCluster[],
  nowMs: number,
): Map<string, Touches> {
  const known = all.flatMap(({ key }) => {
    const before = touches.get(key);
    return before === undefined ? [] : [[key, before] as const];
  });
  const added = due.map(
    ({ key, count, showing }) => [key, { count: count + 1, lastMs: nowMs, shown: showing }] as const,
  );
  return new Map([...known, ...added]);
}
