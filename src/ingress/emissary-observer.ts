import { Clusters } from "../emissary/clusters.ts";
import type { Consumer, MappingChange } from "../emissary/consumer.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Worker } from "../runtime/worker.ts";
import { type EmissaryEvaluation, type EmissaryObservation, type PodObservation } from "./evaluate.ts";
import {
  addNudge,
  afterAnswer,
  afterNudge,
  judgeLast,
  type Need,
  nextNudgeMs,
  type NudgeHistory,
  noNudges,
  resetHistory,
  type Unresponsiveness,
} from "./nudge.ts";
import { type Ask, PodPoller } from "./pod-poller.ts";
import type { Pods } from "./pods.ts";
import { isMissing, isUnlikely, type Touches } from "./verdict.ts";

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
  readonly #unresponsive = new Map<PodPoller, Unresponsiveness>();
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

  /** Asks the pods in which something is missing; `isOnly`: the others stay as they are. */
  pollMissing(evaluations: readonly EmissaryEvaluation[], isOnly = false): void {
    const slow = new Map<string, boolean>();
    for (const { pods } of evaluations)
      for (const { name, clusters } of pods) {
        const missing = clusters.filter(isMissing);
        if (missing.length > 0) slow.set(name, missing.every(isUnlikely) && (slow.get(name) ?? true));
      }
    for (const poller of this.#pollers.values()) {
      const isSlow = slow.get(poller.pod.name);
      if (isSlow !== undefined || !isOnly) poller.setActive(isSlow !== undefined, !isOnly && isSlow);
    }
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
    const { writtenMs = Infinity } = this.#nudges;
    this.#nudges = { ...this.#nudges, writtenMs: this.#ports.clock.elapsedMs() };
    for (const poller of this.#pollers.values()) {
      const known = this.#unresponsive.get(poller);
      this.#unresponsive.set(poller, afterNudge(known, poller.answer, writtenMs));
    }
    this.pollSoon();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pods[Symbol.asyncDispose]();
    await this.#ports.close?.();
  }

  #podsChanged(): void {
    const { ask, clock, polls, onAnswer, onPods } = this.#ports;
    const enqueue = (poller: PodPoller) => polls.enqueue(poller);
    const all = this.#pods.all;
    for (const [key, poller] of this.#pollers) {
      if (all.has(key)) continue;
      this.#pollers.delete(key);
      this.#unresponsive.delete(poller);
      void polls.remove(poller);
    }
    for (const [key, pod] of all) {
      if (this.#pollers.has(key)) continue;
      const wanted = () => this.#clusters?.names ?? new Set<string>();
      this.#pollers.set(key, new PodPoller(pod, { ask, wanted, enqueue, onAnswer, clock }));
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
    const known = afterAnswer(this.#unresponsive.get(poller), answer, this.#nudges, gracePeriodMs);
    if (known === undefined) this.#unresponsive.delete(poller);
    else this.#unresponsive.set(poller, known);
    return {
      ...{ pod, seenAt, answer, failure, isResponsive, neededMs, gracePeriodMs },
      isFrozen: known?.isFrozen ?? false,
      isUnresponsive: known !== undefined,
    };
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
