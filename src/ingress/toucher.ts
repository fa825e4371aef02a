import { type IdentityKey, keyOf, type MeshCertificate } from "../api/mesh-certificate.ts";
import { type Consumer, isMapping } from "../emissary/consumer.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { hasStatus } from "../kube/api-error.ts";
import type { Clock } from "../runtime/clock.ts";
import type { KubernetesStore } from "../store/kubernetes/kubernetes-store.ts";
import type { Counters } from "../telemetry/counters.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { EmissaryObserver } from "./emissary-observer.ts";
import { contextsIn, type Search } from "./evaluate.ts";
import { type MappingHistory, mappingRound, noMappingTouched } from "./mapping-round.ts";
import { countOf, needOf, type UnobservedWrite, unobservedNudges } from "./nudge.ts";
import type { EmissaryEvaluation } from "./observation.ts";

export interface ToucherPorts {
  readonly store: Pick<KubernetesStore, "mappings" | "nudge" | "touchMapping">;
  readonly observer: Pick<Counters, "touched">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Has {@link Toucher.send} called soon. */
  readonly enqueue: (what: Touched) => void;
  /** Called when touches were written, or have failed to be. */
  readonly onSent: () => void;
}

export type Touched = "contexts" | "mappings";

/** An identity whose TLSContext may be touched. */
export interface TouchCandidate extends Pick<Search, "contexts" | "problems"> {
  readonly identity: MeshCertificate;
  /** Whether no pod tells what it has loaded. */
  readonly isUnobserved: boolean;
}

interface ContextTouch {
  readonly identity: MeshCertificate;
  readonly context: string;
  /** The Emissary that has missed something; absent where that is only possible. */
  readonly emissary?: EmissaryObserver;
}

/** What is needed of an EmissaryObserver to touch its Mappings. */
type Emissary = Pick<EmissaryObserver, "name" | "observation" | "pollSoon">;

/** How long Mappings of a namespace in which attaché may not touch them are left alone. */
const refusedMs = 600_000;

/**
 * Touches TLSContexts when nudge.ts says so: any change of one makes Emissary read everything again. While
 * Mappings change too often for that, touches Mappings as mapping-round.ts says.
 */
export class Toucher {
  readonly #ports: ToucherPorts;
  #unobserved = new Map<IdentityKey, UnobservedWrite>();
  #contexts: readonly ContextTouch[] = [];
  /** Whether a touch for an observed Emissary waits or is under way: one at a time. */
  #isTouching = false;
  readonly #histories = new WeakMap<Emissary, MappingHistory>();
  /** Until when to leave namespaces alone, by `elapsedMs()`. */
  readonly #refused = new Map<string, number>();
  /** The rounds that wait or are under way: one of each Emissary. */
  readonly #rounds = new Map<Emissary, readonly Consumer[]>();

  constructor(ports: ToucherPorts) {
    this.#ports = ports;
  }

  written(identity: MeshCertificate): void {
    this.#unobserved.set(keyOf(identity), { identity, atMs: this.#ports.clock.elapsedMs() });
  }

  forget(key: IdentityKey): void {
    this.#unobserved.delete(key);
  }

  /** Has touched what is due; returns when to ask again, by `elapsedMs()`. */
  touch(
    emissary: EmissaryObserver,
    evaluations: readonly EmissaryEvaluation[],
    candidates: Iterable<TouchCandidate>,
  ): (number | undefined)[] {
    const { nextMs, isSufficient } = this.touchMappings(emissary, evaluations);
    return [nextMs, this.#touchContext(emissary, evaluations, candidates, isSufficient)];
  }

  /**
   * Has the Mappings of a round touched; returns when to ask again, and whether TLSContexts can be left alone
   * meanwhile.
   */
  touchMappings(
    emissary: Emissary,
    evaluations: readonly EmissaryEvaluation[],
  ): { readonly nextMs: number | undefined; readonly isSufficient: boolean } {
    const nowMs = this.#ports.clock.elapsedMs();
    const isBusy = this.#rounds.has(emissary);
    const { touches, mappingsMs } = emissary.observation;
    if (isBusy || touches !== "Mapping") return { nextMs: undefined, isSufficient: isBusy };
    const history = this.#histories.get(emissary) ?? noMappingTouched;
    // One in an annotation is no object.
    const isTouchable = ({ namespace, holder }: Consumer) =>
      holder === undefined && nowMs >= (this.#refused.get(namespace) ?? -Infinity);
    const round = mappingRound(evaluations, history, isTouchable, mappingsMs, nowMs);
    this.#histories.set(emissary, round.history);
    if (round.needsAnswers) emissary.pollSoon();
    if (round.due.length > 0) {
      this.#rounds.set(emissary, round.due);
      this.#ports.enqueue("mappings");
    }
    return round;
  }

  /**
   * Touches one context for each Emissary that may have missed what no pod shows; returns when to ask again.
   */
  touchUnobserved(candidates: ReadonlyMap<IdentityKey, TouchCandidate>): number | undefined {
    const { store, clock } = this.#ports;
    const isUnobserved = (key: IdentityKey) => candidates.get(key)?.isUnobserved ?? false;
    const nowMs = clock.elapsedMs();
    const { writes, due, nextMs } = unobservedNudges(this.#unobserved, isUnobserved, store.mappings, nowMs);
    this.#unobserved = writes;
    const touched = new Set<string>();
    for (const identity of due) {
      const [context] = candidates.get(keyOf(identity))?.contexts ?? [];
      if (context === undefined || context.ambassadorIds.every((id) => touched.has(id))) continue;
      for (const id of context.ambassadorIds) touched.add(id);
      this.#enqueueContext({ identity, context: context.name });
    }
    return nextMs;
  }

  /** Writes the touches that wait; those of Mappings one after the other: what is published goes first. */
  async send(what: Touched, signal: AbortSignal): Promise<undefined> {
    if (what === "contexts") return this.#sendContexts(signal);
    for (const [emissary, mappings] of this.#rounds) {
      try {
        for (const mapping of mappings) await this.#sendMapping(emissary, mapping, signal);
      } finally {
        this.#rounds.delete(emissary);
        emissary.pollSoon();
        this.#ports.onSent();
      }
    }
  }

  #touchContext(
    emissary: EmissaryObserver,
    evaluations: readonly EmissaryEvaluation[],
    candidates: Iterable<TouchCandidate>,
    isLeftAlone: boolean,
  ): number | undefined {
    const { store, clock } = this.#ports;
    const need = needOf(emissary.observation, evaluations, store.mappings);
    const dueMs = emissary.nextNudgeMs(need);
    if (need === undefined || dueMs === undefined || isLeftAlone) return undefined;
    if (dueMs > clock.elapsedMs()) return dueMs;
    // Any context works. Each touch takes another one, in case one cannot be touched.
    const touches = [...candidates].flatMap(({ identity, contexts, problems }) => {
      const [context] = problems.size > 0 ? contextsIn(emissary.observation, contexts) : [];
      return context === undefined ? [] : [{ identity, context: context.name, emissary }];
    });
    const touch = touches[countOf(emissary.nudges) % touches.length];
    if (touch === undefined || this.#isTouching) return undefined;
    this.#isTouching = true;
    emissary.addNudge(need);
    this.#enqueueContext(touch);
    return undefined;
  }

  #enqueueContext(touch: ContextTouch): void {
    this.#contexts = [...this.#contexts, touch];
    this.#ports.enqueue("contexts");
  }

  async #sendContexts(signal: AbortSignal): Promise<undefined> {
    const touches = this.#contexts;
    this.#contexts = [];
    const { store } = this.#ports;
    try {
      await Promise.all(
        touches.map(async ({ identity, context, emissary }) => {
          const { namespace } = identity.metadata;
          const what = { namespace, name: context, emissary: emissary?.name };
          const write = () => store.nudge(identity, context);
          const error = await this.#write("TLSContext", what, write, signal);
          if (error === undefined) emissary?.nudged();
        }),
      );
    } finally {
      if (touches.some(({ emissary }) => emissary !== undefined)) this.#isTouching = false;
      this.#ports.onSent();
    }
  }

  async #sendMapping(emissary: Emissary, mapping: Consumer, signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#ports;
    const { kind, namespace, name } = mapping;
    const what = { namespace, name, emissary: emissary.name };
    const kindOf = kind === "TCPMapping" ? kind : "Mapping";
    const error = await this.#write(kindOf, what, () => store.touchMapping(mapping), signal);
    if (hasStatus(error, 403)) this.#refused.set(namespace, clock.elapsedMs() + refusedMs);
  }

  /** Returns why it failed, if it did. */
  async #write(
    kind: Parameters<Counters["touched"]>[0],
    what: {
      readonly namespace: string;
      readonly name: string;
      readonly emissary: string | undefined;
    },
    write: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<AttacheError | undefined> {
    const { observer, logger } = this.#ports;
    try {
      await write();
      observer.touched(kind, what.emissary);
      logger.log("Touched", { kind, ...what });
      return undefined;
    } catch (error) {
      if (!(error instanceof AttacheError)) throw error;
      // A Mapping that changed at this moment has its cluster rebuilt too, or it was deleted.
      const isExpected = isMapping({ kind }) && hasStatus(error, 404, 409);
      if (!signal.aborted && !isExpected) logger.log("NotTouched", { kind, ...what, err: error });
      return error;
    }
  }
}
