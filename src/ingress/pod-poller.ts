import type { MetricsPage } from "../emissary/metrics-page.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { delayMs } from "../runtime/backoff.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Requeue } from "../runtime/worker.ts";
import type { PodAnswer, PodFailure } from "./observation.ts";
import type { Patrol } from "./patrol.ts";
import type { Pod } from "./pods.ts";

/** Reads the metrics page of one pod. */
export type Ask = (pod: Pod, wanted: ReadonlySet<string>, signal: AbortSignal) => Promise<MetricsPage>;

interface PodPollerPorts {
  readonly ask: Ask;
  /** The clusters to look for. */
  readonly wanted: () => ReadonlySet<string>;
  /** Has {@link PodPoller.poll} called soon. */
  readonly enqueue: (poller: PodPoller) => void;
  /** Called when the pod has answered, or has failed to. */
  readonly onAnswer: () => void;
  readonly patrol: Patrol<PodPoller>;
  readonly clock: Clock;
}

/**
 * Why a pod is asked: something is missing in it; that may never come; or all is well and may be lost. For no
 * reason it is not asked.
 */
export type PollReason = "missing" | "unlikely" | "patrol";

/** Emissary takes a change in 70 ms at best, and Envoy's page shows it a moment later. */
const firstMs = 150;

/** The longest pause for a pod that answers and has something left to load. */
const maxMs = 5_000;

/** The longest pause where that may never come. */
const slowMs = 30_000;

/** The longest pause while all is well; the shortest is four fifths of it. */
const patrolMs = 60_000;

/** A pod counts as unresponsive after as long without an answer. */
const overdueMs = 2_000;

/**
 * Asks one pod while there is a reason: at growing intervals, and so rarely that answering takes it a third
 * of the time at most.
 */
export class PodPoller {
  readonly pod: Pod;
  readonly seenAt: Date;
  answer: PodAnswer | undefined;
  failure: PodFailure | undefined;
  readonly #ports: PodPollerPorts;
  #reason: PollReason | undefined;
  #tries = 0;
  #dueMs = 0;
  #askingSinceMs: number | undefined;
  #tookMs = 0;

  constructor(pod: Pod, ports: PodPollerPorts) {
    this.pod = pod;
    this.#ports = ports;
    this.seenAt = ports.clock.now();
  }

  /** Whether it answers: not known to fail, nor overdue. */
  get isResponsive(): boolean {
    const sinceMs = this.#askingSinceMs;
    if (this.failure !== undefined) return false;
    return sinceMs === undefined || this.#ports.clock.elapsedMs() - sinceMs < overdueMs;
  }

  setReason(reason: PollReason | undefined): void {
    const before = this.#reason;
    this.#reason = reason;
    if (reason !== "patrol") this.#ports.patrol.leave(this);
    const isKnown = before === reason || (isActive(before) && isActive(reason));
    if (reason === undefined || isKnown) return;
    this.#tries = 0;
    this.#dueMs = this.#ports.clock.elapsedMs() + this.#pauseMs();
    this.#ports.enqueue(this);
  }

  /** Something has happened that may show soon: the intervals start over, except for a pod that fails. */
  pollSoon(): void {
    this.#tries = 0;
    if (this.failure !== undefined || !isActive(this.#reason)) return;
    const soonMs = this.#ports.clock.elapsedMs() + this.#pauseMs();
    if (this.#dueMs <= soonMs) return;
    this.#dueMs = soonMs;
    this.#ports.enqueue(this);
  }

  /** Asks the pod if it is time; returns when to call again. @throws what is no AttacheError */
  async poll(signal: AbortSignal): Promise<Requeue | undefined> {
    const { clock, onAnswer, patrol } = this.#ports;
    if (this.#reason === undefined) return undefined;
    const nowMs = clock.elapsedMs();
    if (nowMs >= this.#dueMs) {
      const isPatrol = this.#reason === "patrol";
      const waitMs = isPatrol ? patrol.begin(this) : 0;
      if (waitMs > 0) return { requeueAfterMs: waitMs };
      this.#tries += 1;
      try {
        await this.#ask(signal);
      } finally {
        if (isPatrol) patrol.end(nowMs, this.answer?.page.bytes ?? 0);
        this.#dueMs = clock.elapsedMs() + this.#pauseMs();
        onAnswer();
      }
    }
    return { requeueAfterMs: Math.max(1, this.#dueMs - clock.elapsedMs()) };
  }

  #pauseMs(): number {
    if (this.failure !== undefined) {
      // At least half of the back-off: many pods may be unreachable.
      return Math.max(500, delayMs(this.failure.count, undefined, (1 + this.#ports.clock.random()) / 2));
    }
    if (this.#reason === "patrol") return patrolMs * (1 - this.#ports.clock.random() / 5);
    const longestMs = this.#reason === "unlikely" ? slowMs : maxMs;
    return Math.max(Math.min(firstMs * 2 ** this.#tries, longestMs), 2 * this.#tookMs);
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { ask, wanted, clock } = this.#ports;
    const names = wanted();
    const [askedMs, askedAt] = [clock.elapsedMs(), clock.now()];
    this.#askingSinceMs = askedMs;
    try {
      this.answer = { page: await ask(this.pod, names, signal), wanted: names, askedMs, askedAt };
      this.failure = undefined;
      this.#tookMs = clock.elapsedMs() - askedMs;
    } catch (error) {
      if (signal.aborted) return;
      const { count = 0, since = clock.now() } = this.failure ?? {};
      this.failure = { error, count: count + 1, since };
      if (!(error instanceof AttacheError)) throw error;
    } finally {
      this.#askingSinceMs = undefined;
    }
  }
}

function isActive(reason: PollReason | undefined): boolean {
  return reason === "missing" || reason === "unlikely";
}
