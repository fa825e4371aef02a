import { Clusters } from "../emissary/clusters.ts";
import type { Consumer } from "../emissary/consumer.ts";
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
import { isMissing, isUnlikely } from "./verdict.ts";

export interface EmissaryPorts {
  /** `NAMESPACE/SERVICE` */
  readonly name: string;
  readonly namespace: string;
  readonly ambassadorIds: readonly string[];
  readonly nudgeAfterMs: number;
  readonly pods: (onChange: () => void) => Pods;
  readonly ask: Ask;
  /** Closes what `ask` uses. */
  readonly close?: () => PromiseLike<void>;
}

interface EmissaryObserverPorts extends EmissaryPorts {
  readonly clock: Clock;
  /** Polls the pods. */
  readonly polls: Pick<Worker<PodPoller>, "enqueue" | "remove">;
  /** Called when a pod has answered, or has failed to. */
  readonly onAnswer: () => void;
  /** Called when pods have come or gone. */
  readonly onPods: () => void;
}

const maxGracePeriodMs = 60_000;

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
    this.#observation = {
      ...{ name, ambassadorIds, pods },
      clusters: this.#clusters,
      consumersMs: this.#consumersMs,
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

  #observePod(poller: PodPoller): PodObservation {
    const { pod, seenAt, answer, failure, isResponsive } = poller;
    const gracePeriodMs = this.#gracePeriodOf(poller);
    const known = afterAnswer(this.#unresponsive.get(poller), answer, this.#nudges, gracePeriodMs);
    if (known === undefined) this.#unresponsive.delete(poller);
    else this.#unresponsive.set(poller, known);
    return {
      ...{ pod, seenAt, answer, failure, isResponsive, gracePeriodMs },
      isFrozen: known?.isFrozen ?? false,
      isUnresponsive: known !== undefined,
    };
  }

  /** A change waits for the reconfiguration before it, a second at least, and then for its own. */
  #gracePeriodOf({ answer }: PodPoller): number {
    const reconfigurationMs = answer?.page.reconfigurationMs ?? 0;
    const neededMs = Math.max(1_000, reconfigurationMs) + reconfigurationMs;
    return Math.min(Math.max(this.#ports.nudgeAfterMs, neededMs), maxGracePeriodMs);
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
