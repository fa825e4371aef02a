import { isDeepStrictEqual } from "node:util";
import type { ServedLeaf } from "../telemetry/state.ts";
import { least } from "./evaluate.ts";
import { Clusters } from "../emissary/clusters.ts";
import type { Consumer, MappingChange } from "../emissary/consumer.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Worker } from "../runtime/worker.ts";
import {
  addNudge,
  judgeLast,
  type Need,
  nextNudgeMs,
  type NudgeHistory,
  noNudges,
  resetHistory,
} from "./nudge.ts";
import {
  type EmissaryEvaluation,
  type EmissaryObservation,
  isMissing,
  isUnlikely,
  type PodObservation,
  type Touches,
} from "./observation.ts";
import type { Patrol } from "./patrol.ts";
import { type Ask, PodPoller, type PollReason } from "./pod-poller.ts";
import type { Pods } from "./pods.ts";
import { afterAnswer, afterTouch, type Progress } from "./progress.ts";

export interface EmissaryPorts {
  /** `NAMESPACE/SERVICE` */
  readonly name: string;
  readonly namespace: string;
  readonly ambassadorIds: readonly string[];
  readonly nudgeAfterMs: number;
  /** How long it waits before it takes what has changed, as its own settings say. */
  readonly reconfigMaxDelayMs: number;
  /** Whether its Mappings may be touched. */
  readonly touchMappings: boolean;
  readonly pods: (onChange: () => void) => Pods;
  readonly ask: Ask;
  /** Closes what `ask` uses. */
  readonly close?: () => PromiseLike<void>;
}

interface EmissaryObserverPorts extends EmissaryPorts {
  readonly clock: Clock;
  /** Polls the pods. */
  readonly polls: Pick<Worker<PodPoller>, "enqueue" | "remove">;
  /** Of the pods of all Emissaries. */
  readonly patrol: Patrol<PodPoller>;
  /** The last change of a Mapping or TCPMapping that was seen. */
  readonly mappings: () => MappingChange | undefined;
  /** Called when a pod has answered, or has failed to. */
  readonly onAnswer: () => void;
  /** Called when pods have come or gone. */
  readonly onPods: () => void;
}

/** As long after a change of a Mapping, another one is expected to share Emissary's next snapshot. */
const churnMs = 3_000;

/** What a pod says beyond that is not believed. */
const maxReconfigurationMs = 30_000;

/** One Emissary-ingress: its pods, what they have answered, and how they take nudges. */
export class EmissaryObserver implements AsyncDisposable {
  readonly #ports: EmissaryObserverPorts;
  readonly #pods: Pods;
  readonly #pollers = new Map<string, PodPoller>();
  readonly #progress = new Map<PodPoller, Progress>();
  #seen: readonly unknown[] = [];
  #nudges: NudgeHistory;
  #observation: EmissaryObservation | undefined;
  #clusters: Clusters | undefined;
  /** By `elapsedMs()`. */
  #consumersMs = -Infinity;

  constructor(ports: EmissaryObserverPorts) {
    this.#ports = ports;
    this.#nudges = noNudges(ports.clock.random());
    this.#pods = ports.pods(() => this.#podsChanged());
  }

  get name(): string {
    return this.#ports.name;
  }

  get nudges(): NudgeHistory {
    return this.#nudges;
  }

  /** @param consumers `undefined` until all are listed */
  setConsumers(consumers: Iterable<Consumer> | undefined): void {
    this.#clusters = consumers && new Clusters(consumers, this.#ports);
    this.#consumersMs = this.#ports.clock.elapsedMs();
  }

  /** As of the last {@link observe}. */
  get observation(): EmissaryObservation {
    return this.#observation ?? this.observe();
  }

  observe(): EmissaryObservation {
    const { name, ambassadorIds, nudgeAfterMs } = this.#ports;
    const pods = [...this.#pollers.values()].map((poller) => this.#observePod(poller));
    const mappingsMs = this.#ports.mappings()?.changedMs ?? -Infinity;
    this.#observation = {
      ...{ name, ambassadorIds, pods },
      clusters: this.#clusters,
      consumersMs: this.#consumersMs,
      touches: this.#touches(mappingsMs),
      mappingsMs,
      reconfigMaxDelayMs: this.#ports.reconfigMaxDelayMs,
      gracePeriodMs: Math.max(nudgeAfterMs, ...pods.map(({ gracePeriodMs }) => gracePeriodMs)),
      problem: this.#problem(),
    };
    return this.#observation;
  }

  /** What each cluster presented that attaché looks for, when its pod was last asked. */
  leaves(): ServedLeaf[] {
    return [...this.#pollers.values()].flatMap(({ pod, answer }) =>
      [...(answer?.page.clusters ?? [])].flatMap(([cluster, { leaves }]) => {
        const notAfter = least(leaves);
        return notAfter === undefined ? [] : { emissary: this.name, pod: pod.name, cluster, notAfter };
      }),
    );
  }

  /**
   * Asks the pods in which something is missing; the others are on patrol if anything is used.
   * @param isOnly the others stay as they are
   */
  pollMissing(evaluations: readonly EmissaryEvaluation[], isUsed: boolean, isOnly = false): void {
    const reasons = new Map<string, PollReason>();
    for (const { pods } of evaluations)
      for (const { pod, clusters } of pods) {
        const missing = clusters.filter(isMissing);
        if (missing.length > 0 && reasons.get(pod.name) !== "missing")
          reasons.set(pod.name, missing.every(isUnlikely) ? "unlikely" : "missing");
      }
    for (const poller of this.#pollers.values()) {
      // What Envoy has not taken may still be on its way.
      const { refusals = 0 } = this.#progress.get(poller) ?? {};
      const reason = reasons.get(poller.pod.name) ?? (refusals > 0 ? "unlikely" : "patrol");
      if (reasons.has(poller.pod.name) || !isOnly) poller.setReason(isUsed ? reason : undefined);
    }
  }

  /** Whether the pods show anything else than the last time that this was asked. */
  hasNews(): boolean {
    const before = this.#seen;
    this.#seen = this.observation.pods.map(({ pod, answer, progress }) => {
      return {
        pod,
        clusters: answer?.page.clusters,
        isStalled: progress?.isStalled,
        isFrozen: progress?.isFrozen,
      };
    });
    return !isDeepStrictEqual(before, this.#seen);
  }

  /** Something has happened that may show soon. */
  pollSoon(): void {
    for (const poller of this.#pollers.values()) poller.pollSoon();
  }

  /** When the next nudge is due, by `elapsedMs()`. */
  nextNudgeMs(need: Need | undefined): number | undefined {
    const nowMs = this.#ports.clock.elapsedMs();
    this.#nudges = need === undefined ? resetHistory(this.#nudges) : judgeLast(this.#nudges, need, nowMs);
    return need && nextNudgeMs(this.#nudges, need);
  }

  /** A nudge is about to be written; it counts even if that fails. */
  addNudge(need: Need): void {
    const { clock } = this.#ports;
    this.#nudges = addNudge(this.#nudges, need, clock.elapsedMs(), clock.random());
  }

  /** A nudge is written: from now on it proves something of pods that take nothing. */
  nudged(): void {
    const nowMs = this.#ports.clock.elapsedMs();
    this.#nudges = { ...this.#nudges, writtenMs: nowMs };
    for (const [poller, progress] of this.#progress)
      if (poller.answer !== undefined) this.#progress.set(poller, afterTouch(progress, poller.answer, nowMs));
    this.pollSoon();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pods[Symbol.asyncDispose]();
    await this.#ports.close?.();
  }

  #podsChanged(): void {
    const { ask, clock, polls, patrol, onAnswer, onPods } = this.#ports;
    const enqueue = (poller: PodPoller) => polls.enqueue(poller);
    const all = this.#pods.all;
    for (const [key, poller] of this.#pollers) {
      if (all.has(key)) continue;
      this.#pollers.delete(key);
      this.#progress.delete(poller);
      poller.setReason(undefined);
      void polls.remove(poller);
    }
    for (const [key, pod] of all) {
      if (this.#pollers.has(key)) continue;
      const wanted = () => this.#clusters?.names ?? new Set<string>();
      this.#pollers.set(key, new PodPoller(pod, { ask, wanted, enqueue, onAnswer, patrol, clock }));
    }
    onPods();
  }

  #touches(mappingsMs: number): Touches {
    const { clock, touchMappings } = this.#ports;
    const { forced, ineffective } = this.#nudges;
    const isChurning = clock.elapsedMs() < mappingsMs + churnMs;
    const isIneffective = forced > 0 || ineffective > 0;
    if (touchMappings && (isChurning || isIneffective)) return "Mapping";
    return isChurning && isIneffective ? "starved" : "TLSContext";
  }

  #observePod(poller: PodPoller): PodObservation {
    const { pod, seenAt, answer, failure, isResponsive } = poller;
    const neededMs = this.#neededBy(poller);
    const gracePeriodMs = Math.max(this.#ports.nudgeAfterMs, neededMs);
    const before = this.#progress.get(poller);
    const progress = answer === undefined ? before : afterAnswer(before, answer, gracePeriodMs);
    if (progress === undefined) this.#progress.delete(poller);
    else this.#progress.set(poller, progress);
    return { pod, seenAt, answer, failure, isResponsive, progress, neededMs, gracePeriodMs };
  }

  /** A change waits for the reconfiguration before it, a second at least, and then for its own. */
  #neededBy({ answer }: PodPoller): number {
    const reconfigurationMs = Math.min(answer?.page.reconfigurationMs ?? 0, maxReconfigurationMs);
    return Math.max(this.#ports.reconfigMaxDelayMs, reconfigurationMs) + reconfigurationMs;
  }

  #problem(): EmissaryObservation["problem"] {
    const { isSynced, error } = this.#pods.health;
    if (error !== undefined) {
      return {
        reason: "PodsUnknown",
        message: `The pods of the Service ${this.name} are not known: ${error.problem}. ${error.remedy}`,
      };
    }
    if (!isSynced) return undefined;
    return {
      reason: "NoPods",
      message: `The Service ${this.name} has no pod that is ready: does it exist, and does Emissary run? See \`emissary:\` in the settings.`,
    };
  }
}
