import type { MetricsPage } from "../emissary/metrics-page.ts";

/**
 * How a pod takes configuration. Emissary's timer takes a new value with each reconfiguration, also with one
 * that its validation refuses; each one that is accepted is a new version for Envoy, which counts it even if
 * nothing in it is new. Pure; all `Ms` are of `elapsedMs()`.
 */
export interface Progress {
  /** How often Envoy had taken clusters. */
  readonly updates: number;
  /** Since when it has taken nothing, as far as the page was read. */
  readonly since: Date;
  /** When it was asked last, and for how long its Envoy had run, if the page shows that. */
  readonly askedMs: number;
  readonly uptimeMs: number | undefined;
  /** Of the last reconfiguration; `undefined` where the page does not show it. */
  readonly reconfigurationMs: number | undefined;
  /** Whether the timer has stopped for what Envoy took last: it may show that a moment later than Envoy. */
  readonly isTimed: boolean;
  /** How many reconfigurations Envoy has taken nothing of, and when the first of them showed. */
  readonly refusals: number;
  readonly refusedMs: number;
  /** Touches of TLSContexts that it should have taken; when the first and the last were written. */
  readonly touches: number;
  readonly touchedMs: number;
  readonly lastTouchMs: number;
  /**
   * Whether a reconfiguration has not reached Envoy: refused, or, above half of its memory limit, put off for
   * up to ten minutes.
   */
  readonly isStalled: boolean;
  /** Whether it takes no configuration at all. */
  readonly isFrozen: boolean;
}

/** A pod that takes nothing of as many reconfigurations, or after as many touches, is frozen. */
const untilFrozen = 3;

/** As long it counts as one refusal, however many there are: the cause may be repaired already. */
const frozenAfterMs = 10_000;

/**
 * An Emissary that does not even reconfigure after touches may collect changes for as long, whatever
 * attaché's settings say of it.
 */
const unexplainedMs = 30_000;

/** What Envoy says of how long it has run may be as old. */
const uptimeLagMs = 10_000;

interface Answer {
  readonly page: Pick<MetricsPage, "updates" | "reconfigurationMs" | "uptimeMs">;
  readonly askedMs: number;
  readonly askedAt: Date;
}

export function afterAnswer(
  before: Progress | undefined,
  answer: Answer,
  gracePeriodMs: number,
): Progress | undefined {
  const { page, askedMs, askedAt } = answer;
  const { updates, reconfigurationMs, uptimeMs } = page;
  if (updates === undefined) return undefined;
  const isChanged = reconfigurationMs !== before?.reconfigurationMs;
  if (before?.updates !== updates || hasRestarted(before, answer)) {
    const isTimed = isChanged || (before?.refusals ?? 0) > 0;
    return {
      ...{ updates, askedMs, uptimeMs, since: askedAt, reconfigurationMs, isTimed },
      ...{ isStalled: false, isFrozen: false },
      ...{ refusals: 0, refusedMs: Infinity, touches: 0, touchedMs: Infinity, lastTouchMs: Infinity },
    };
  }
  const isRefused = isChanged && before.isTimed;
  const after: Progress = {
    ...{ ...before, askedMs, uptimeMs, reconfigurationMs, isTimed: before.isTimed || isChanged },
    refusals: before.refusals + Number(isRefused),
    refusedMs: isRefused ? Math.min(before.refusedMs, askedMs) : before.refusedMs,
  };
  return {
    ...after,
    // At first it may still be on its way to Envoy.
    isStalled: before.isStalled || askedMs >= after.refusedMs + gracePeriodMs,
    isFrozen: before.isFrozen || isFrozen(after, askedMs, gracePeriodMs),
  };
}

/** Its container may restart without a new address, and Envoy may have counted as far as before by then. */
function hasRestarted(before: Progress, { page: { uptimeMs }, askedMs }: Answer): boolean {
  if (uptimeMs === undefined || before.uptimeMs === undefined) return false;
  return uptimeMs < before.uptimeMs || askedMs - uptimeMs > before.askedMs + uptimeLagMs;
}

function isFrozen(progress: Progress, askedMs: number, gracePeriodMs: number): boolean {
  const { refusals, refusedMs, touches, touchedMs, lastTouchMs, reconfigurationMs } = progress;
  const isRefusing = refusals >= untilFrozen && askedMs >= refusedMs + Math.max(frozenAfterMs, gracePeriodMs);
  const isExplained =
    refusals === 0 && reconfigurationMs !== undefined && askedMs < touchedMs + unexplainedMs;
  return isRefusing || (touches >= untilFrozen && askedMs >= lastTouchMs + gracePeriodMs && !isExplained);
}

/**
 * A touch was written. It counts if the pod was asked since the one before: otherwise it has not shown that
 * it missed that.
 */
export function afterTouch(before: Progress, { askedMs }: Pick<Answer, "askedMs">, nowMs: number): Progress {
  const isFirst = before.touches === 0;
  return {
    ...before,
    touches: before.touches + Number(isFirst || askedMs > before.lastTouchMs),
    touchedMs: isFirst ? nowMs : before.touchedMs,
    lastTouchMs: nowMs,
  };
}
