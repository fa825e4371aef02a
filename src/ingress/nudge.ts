import type { IdentityKey, MeshCertificate } from "../api/mesh-certificate.ts";
import { type MappingChange } from "../emissary/consumer.ts";
import { least } from "./evaluate.ts";
import type { EmissaryEvaluation, EmissaryObservation } from "./observation.ts";

/** All functions here are pure, and all `Ms` are of `elapsedMs()`, or durations. */

/** Added to the time that Emissary needs for a snapshot. */
const marginMs = 100;

/**
 * How long a nudge waits for a moment in which its snapshot has no Mapping: at first, doubled each further
 * time, and at most.
 */
const firstHoldMs = 2_000;
const maxHoldMs = 10_000;

/**
 * The longest pause between nudges that may heal something, even where Emissary takes nothing: after a repair
 * of the Secret, a nudge ends that.
 */
const maxPauseMs = 20_000;

/**
 * After as many isolated nudges without effect the cause is another one: from there the pause doubles, up to
 * the maximum.
 */
const maxIneffective = 5;
const maxRareMs = 600_000;

/** The nudges of one Emissary since it last had everything. */
export interface NudgeHistory {
  /** Those in a quiet moment, and the others. */
  readonly quiet: number;
  readonly forced: number;
  readonly lastMs?: number;
  /** When the last one was written; others may have failed since. */
  readonly writtenMs?: number;
  /** How many in a row had no effect, since anything new was late. */
  readonly ineffective: number;
  /** Whether no Mapping changed around the last one; `undefined` while it is too early to say. */
  readonly isIsolated?: boolean | undefined;
  /** In [0, 1). */
  readonly jitter: number;
}

/** The reason for a nudge of an Emissary. */
export interface Need {
  /** Whether Emissary is known to take no configuration. */
  readonly isFrozen: boolean;
  /** Whether all pods that lack something have taken something since the last nudge. */
  readonly isTaken: boolean;
  /** Since when something is late, and since when the newest of it is. */
  readonly sinceMs: number;
  readonly newestMs: number;
  /** How long a pod may take for what it gets. */
  readonly gracePeriodMs: number;
  /** How long the longest reconfiguration of a pod took. */
  readonly reconfigurationMs: number;
  /** How long Emissary collects changes for a snapshot, as its own settings say. */
  readonly reconfigMaxDelayMs: number;
  readonly mappings: MappingChange | undefined;
}

/** `undefined` where nothing is late that a nudge may heal. */
export function needOf(
  { pods, gracePeriodMs, reconfigMaxDelayMs }: EmissaryObservation,
  evaluations: readonly EmissaryEvaluation[],
  mappings: MappingChange | undefined,
): Need | undefined {
  const sinceMs = least(evaluations.map(({ lateMs }) => lateMs));
  if (sinceMs === undefined) return undefined;
  const late = evaluations.flatMap((one) =>
    one.pods.filter(({ clusters }) => clusters.some(({ isLate }) => isLate)),
  );
  return {
    ...{ sinceMs, gracePeriodMs, mappings },
    newestMs: evaluations.reduce((newest, { lateMs = newest }) => Math.max(newest, lateMs), sinceMs),
    isFrozen: late.every(({ progress }) => progress?.isFrozen === true),
    isTaken: !late.some(({ progress }) => progress !== undefined && progress.touches > 0),
    reconfigMaxDelayMs,
    reconfigurationMs: Math.max(0, ...pods.map(({ answer }) => answer?.page.reconfigurationMs ?? 0)),
  };
}

export function noNudges(random: number): NudgeHistory {
  return { quiet: 0, forced: 0, ineffective: 0, jitter: random };
}

export function countOf({ quiet, forced }: NudgeHistory): number {
  return quiet + forced;
}

/** Starts over, because nothing is missing any more. */
export function resetHistory(history: NudgeHistory): NudgeHistory {
  return countOf(history) === 0 ? history : { ...history, quiet: 0, forced: 0, ineffective: 0 };
}

/**
 * Notes, as soon as it shows, whether a Mapping may have shared the snapshot of the last nudge: later ones
 * prove nothing.
 */
export function judgeLast(history: NudgeHistory, need: Need, nowMs: number): NudgeHistory {
  if (history.isIsolated !== undefined || history.lastMs === undefined) return history;
  const untilMs = history.lastMs + windowMs(need) + marginMs;
  if (mayBeCoalesced(history, need)) return { ...history, isIsolated: false };
  return nowMs >= untilMs ? { ...history, isIsolated: true } : history;
}

/** A nudge is about to be written. */
export function addNudge(before: NudgeHistory, need: Need, nowMs: number, random: number): NudgeHistory {
  const history = judgeLast(before, need, nowMs);
  const isQuiet = nowMs >= quietAtMs(need);
  const { quiet, forced } = history;
  const quietBefore = mayBeCoalesced(history, need) ? 0 : quiet;
  return {
    ...history,
    quiet: isQuiet ? quietBefore + 1 : quietBefore,
    forced: isQuiet ? forced : forced + 1,
    ineffective: ineffectiveAfter(history, need),
    isIsolated: isQuiet ? undefined : false,
    lastMs: nowMs,
    jitter: random,
  };
}

/**
 * When the next nudge is due. There is none unless a pod has missed something. Best is a moment in which
 * Emissary takes a change at once: a Mapping in the same snapshot makes it ignore the nudge. Now and then
 * another moment is used, because a quiet one may not come, and Mappings may change unseen.
 */
export function nextNudgeMs(history: NudgeHistory, need: Need): number {
  const { sinceMs, gracePeriodMs, isFrozen } = need;
  const { lastMs, ineffective, jitter } = history;
  const count = countOf(history);
  const holdMs = Math.min(firstHoldMs * 2 ** count, maxHoldMs) * (0.5 + jitter / 2);
  if (count === 0 || lastMs === undefined)
    return Math.min(Math.max(sinceMs, quietAtMs(need)), sinceMs + holdMs);
  if (isFrozen) return lastMs + maxPauseMs;
  const isRare = ineffective >= maxIneffective && !isNew(history, need);
  const pauseMs = isRare
    ? Math.min(maxPauseMs * 2 ** (ineffective - maxIneffective + 1), maxRareMs)
    : quietPauseMs(history, need);
  const forcedMs = isRare
    ? pauseMs + maxHoldMs
    : Math.max(gracePeriodMs, holdMs, mayBeCoalesced(history, need) ? 0 : pauseMs);
  return lastMs + Math.min(Math.max(pauseMs, quietAtMs(need) - lastMs), forcedMs);
}

function ineffectiveAfter(history: NudgeHistory, need: Need): number {
  const { ineffective, isIsolated, lastMs = Infinity, writtenMs = -Infinity } = history;
  if (need.isFrozen || isNew(history, need)) return 0;
  if (writtenMs < lastMs || !need.isTaken) return ineffective;
  // Beyond the maximum, a coalesced nudge counts as ineffective too.
  return isIsolated === true || ineffective >= maxIneffective ? ineffective + 1 : ineffective;
}

/** Until the next nudge in a quiet moment. */
function quietPauseMs(history: NudgeHistory, need: Need): number {
  // As soon as it shows that the last one had no effect.
  if (mayBeCoalesced(history, need)) return need.reconfigMaxDelayMs + 2 * need.reconfigurationMs;
  return Math.min(need.gracePeriodMs * 2 ** Math.max(history.quiet - 1, 0), maxPauseMs);
}

/** Whether anything is late that was not at the last nudge. */
function isNew({ lastMs = -Infinity }: NudgeHistory, { newestMs }: Need): boolean {
  return newestMs > lastMs;
}

/** Whether a Mapping has changed since the last nudge, which may have shared a snapshot with it. */
function mayBeCoalesced({ lastMs }: NudgeHistory, { mappings }: Need): boolean {
  return mappings !== undefined && lastMs !== undefined && mappings.changedMs > lastMs;
}

/** From when on Emissary takes a change at once, in a snapshot without Mappings. */
function quietAtMs(need: Need): number {
  return (need.mappings?.takenMs ?? -Infinity) + windowMs(need) + marginMs;
}

/** How long changes that follow one another may be of one snapshot. */
function windowMs({ reconfigMaxDelayMs, reconfigurationMs }: Need): number {
  return Math.max(reconfigMaxDelayMs, reconfigurationMs);
}

/**
 * A change of a Mapping that is as near to a write may share a snapshot with it, so that Emissary has missed
 * the write.
 */
const nearMs = 3_000;

/** What was written of an identity while no pod may tell whether Emissary has taken it. */
export interface UnobservedWrite {
  readonly identity: MeshCertificate;
  readonly atMs: number;
  /** Whether a Mapping has changed near it; `undefined` while one still may. */
  readonly isDoubtful?: true;
}

/**
 * A write without observation is worth one nudge where Mappings changed near it, as soon as they have come to
 * rest; others are not.
 * @param isUnobserved whether no pod tells what it has loaded for the identity
 */
export function unobservedNudges(
  writes: ReadonlyMap<IdentityKey, UnobservedWrite>,
  isUnobserved: (key: IdentityKey) => boolean,
  mappings: MappingChange | undefined,
  nowMs: number,
): {
  readonly writes: Map<IdentityKey, UnobservedWrite>;
  readonly due: readonly MeshCertificate[];
  readonly nextMs: number | undefined;
} {
  const changedMs = mappings?.changedMs ?? -Infinity;
  const isAtRest = nowMs >= changedMs + nearMs;
  const left = new Map<IdentityKey, UnobservedWrite>();
  const due: MeshCertificate[] = [];
  for (const [key, write] of writes) {
    const { atMs } = write;
    const isUndecided = write.isDoubtful === undefined && nowMs < atMs + nearMs;
    const isDoubtful = write.isDoubtful ?? (isUnobserved(key) && changedMs >= atMs - nearMs);
    if (isUndecided) left.set(key, write);
    else if (isDoubtful && !isAtRest) left.set(key, { ...write, isDoubtful });
    else if (isDoubtful && isUnobserved(key)) due.push(write.identity);
  }
  const nextMs = least(left.values().map(({ atMs, isDoubtful }) => (isDoubtful ? changedMs : atMs) + nearMs));
  return { writes: left, due, nextMs };
}
