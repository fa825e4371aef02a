import { type Consumer, consumerKey } from "../emissary/consumer.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { hasStatus } from "../kube/api-error.ts";
import type { Clock } from "../runtime/clock.ts";
import type { KubernetesStore } from "../store/kubernetes/kubernetes-store.ts";
import type { Counters } from "../telemetry/counters.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { EmissaryObserver } from "./emissary-observer.ts";
import { type MappingHistory, mappingRound, noMappingTouched } from "./mapping-round.ts";
import type { EmissaryEvaluation } from "./observation.ts";

/** What is needed of an EmissaryObserver. */
type Emissary = Pick<EmissaryObserver, "name" | "observation" | "pollSoon">;

export interface MappingToucherPorts {
  readonly store: Pick<KubernetesStore, "touchMapping">;
  readonly observer: Pick<Counters, "touched">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Has {@link MappingToucher.send} called soon. */
  readonly enqueue: () => void;
  /** Called when Mappings were touched, or have failed to be. */
  readonly onSent: () => void;
}

/** How long Mappings of a namespace in which attaché may not touch them are left alone. */
const refusedMs = 600_000;

/**
 * Touches Mappings when mapping-round.ts says so, while Mappings change too often for a touch of a TLSContext
 * to have an effect.
 */
export class MappingToucher {
  readonly #ports: MappingToucherPorts;
  readonly #histories = new WeakMap<Emissary, MappingHistory>();
  /** Until when to leave namespaces alone, by `elapsedMs()`. */
  readonly #refused = new Map<string, number>();
  /** The rounds that wait or are under way: one of each Emissary. */
  readonly #rounds = new Map<Emissary, readonly Consumer[]>();

  constructor(ports: MappingToucherPorts) {
    this.#ports = ports;
  }

  /**
   * Has the Mappings of a round touched; returns when to ask again, by `elapsedMs()`, and whether TLSContexts
   * can be left alone meanwhile.
   */
  touch(
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
      this.#ports.enqueue();
    }
    return round;
  }

  /** Touches the Mappings that wait, one after the other: what is published goes first. */
  async send(signal: AbortSignal): Promise<undefined> {
    for (const [emissary, mappings] of this.#rounds) {
      try {
        for (const mapping of mappings) await this.#touch(emissary, mapping, signal);
      } finally {
        this.#rounds.delete(emissary);
        emissary.pollSoon();
        this.#ports.onSent();
      }
    }
  }

  async #touch(emissary: Emissary, mapping: Consumer, signal: AbortSignal): Promise<void> {
    const { store, observer, clock, logger } = this.#ports;
    const { kind, namespace, context } = mapping;
    const what = { mapping: consumerKey(mapping), context, emissary: emissary.name };
    try {
      await store.touchMapping(mapping);
      observer.touched(kind === "TCPMapping" ? kind : "Mapping");
      logger.info(
        what,
        "touched a Mapping: its cluster has missed a rotation, and Mappings change too often for the TLSContext",
      );
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof AttacheError)) throw error;
      // It changed at this moment, which has its cluster rebuilt too, or it was deleted.
      if (hasStatus(error, 404, 409)) return;
      if (hasStatus(error, 403)) this.#refused.set(namespace, clock.elapsedMs() + refusedMs);
      logger.warn({ ...what, err: error }, "a Mapping could not be touched for the ingress");
    }
  }
}
