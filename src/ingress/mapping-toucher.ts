import { randomUUID } from "node:crypto";
import { type Consumer, consumerKey, type ConsumerName } from "../emissary/consumer.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { hasStatus } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import type { ApiObject } from "../kube/object.ts";
import { pathOf } from "../kube/resources.ts";
import { ownershipAnnotations } from "../render/marks.ts";
import type { Clock } from "../runtime/clock.ts";
import { nudger } from "../store/kubernetes/observe.ts";
import { consumerResources } from "../store/kubernetes/consumers.ts";
import type { Counters } from "../telemetry/counters.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { EmissaryObserver } from "./emissary-observer.ts";
import type { EmissaryEvaluation } from "./evaluate.ts";
import { type MappingHistory, mappingRound, noMappingTouched } from "./mapping-round.ts";

/** Touches one Mapping or TCPMapping. @throws ApiError */
export type TouchMapping = (mapping: Consumer, signal: AbortSignal) => Promise<void>;

interface MappingToucherPorts {
  readonly touchMapping: TouchMapping;
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
  readonly #histories = new WeakMap<EmissaryObserver, MappingHistory>();
  /** Until when to leave namespaces alone, by `elapsedMs()`. */
  readonly #refused = new Map<string, number>();
  #waiting: readonly (readonly [EmissaryObserver, readonly Consumer[]])[] = [];

  constructor(ports: MappingToucherPorts) {
    this.#ports = ports;
  }

  /**
   * Has the Mappings of a round touched; returns when to ask again, by `elapsedMs()`, and whether TLSContexts
   * can be left alone meanwhile.
   */
  touch(
    emissary: EmissaryObserver,
    evaluations: readonly EmissaryEvaluation[],
  ): { readonly nextMs: number | undefined; readonly isSufficient: boolean } {
    const nowMs = this.#ports.clock.elapsedMs();
    const isBusy = this.#waiting.some(([one]) => one === emissary);
    const { touches, mappingsMs } = emissary.observation;
    if (isBusy || touches !== "Mapping") return { nextMs: undefined, isSufficient: isBusy };
    const history = this.#histories.get(emissary) ?? noMappingTouched;
    const isTouchable = ({ namespace }: ConsumerName) => nowMs >= (this.#refused.get(namespace) ?? -Infinity);
    const round = mappingRound(evaluations, history, isTouchable, mappingsMs, nowMs);
    this.#histories.set(emissary, round.history);
    if (round.needsAnswers) emissary.pollSoon();
    if (round.due.length > 0) {
      this.#waiting = [...this.#waiting, [emissary, round.due]];
      this.#ports.enqueue();
    }
    return round;
  }

  /** Touches the Mappings that wait, one after the other: what is published goes first. */
  async send(signal: AbortSignal): Promise<undefined> {
    try {
      for (const [emissary, mappings] of this.#waiting) {
        for (const mapping of mappings) await this.#touch(emissary, mapping, signal);
        emissary.pollSoon();
      }
    } finally {
      this.#waiting = [];
      this.#ports.onSent();
    }
  }

  async #touch(emissary: EmissaryObserver, mapping: Consumer, signal: AbortSignal): Promise<void> {
    const { touchMapping, observer, clock, logger } = this.#ports;
    const { kind, namespace, context } = mapping;
    const what = { mapping: consumerKey(mapping), context, emissary: emissary.name };
    try {
      await touchMapping(mapping, signal);
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

/** Sets one annotation, with a precondition: the object is as it was read. */
export function touchMappingOver(api: Pick<KubeClient, "request">, clock: Clock): TouchMapping {
  return async ({ kind, namespace, name }, signal) => {
    const path = pathOf(consumerResources[kind], { namespace, name });
    const { metadata } = await api.request<ApiObject>({ method: "GET", path, accept: "metadata", signal });
    const { uid, resourceVersion } = metadata;
    const value = `${clock.now().toISOString()} ${randomUUID()}`;
    await api.request({
      ...{ method: "PATCH", path, accept: "metadata", signal },
      query: { fieldManager: nudger },
      contentType: "merge",
      body: { metadata: { uid, resourceVersion, annotations: { [ownershipAnnotations.nudge]: value } } },
    });
  };
}
