import { type IdentityKey, keyOf, type MeshCertificate } from "../api/mesh-certificate.ts";
import { AttacheError } from "../errors/attache-error.ts";
import type { Clock } from "../runtime/clock.ts";
import type { KubernetesStore } from "../store/kubernetes/kubernetes-store.ts";
import type { Counters } from "../telemetry/counters.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { EmissaryObserver } from "./emissary-observer.ts";
import { contextsIn, type Search } from "./evaluate.ts";
import type { EmissaryEvaluation } from "./observation.ts";
import { countOf, needOf, type UnobservedWrite, unobservedNudges } from "./nudge.ts";

export interface NudgerPorts {
  readonly store: Pick<
    KubernetesStore,
    "consumers" | "contextsOf" | "mappings" | "nudge" | "observeExposures" | "onConsumers"
  >;
  readonly observer: Pick<Counters, "reconciled" | "served" | "touched">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Has {@link Nudger.send} called soon. */
  readonly enqueue: () => void;
  /** Called when nudges were written, or have failed to be. */
  readonly onSent: () => void;
}

/** An identity whose TLSContext may be touched. */
export interface NudgeCandidate extends Pick<Search, "contexts" | "problems"> {
  readonly identity: MeshCertificate;
  /** Whether no pod tells what it has loaded. */
  readonly isUnobserved: boolean;
}

interface Nudge {
  readonly identity: MeshCertificate;
  readonly context: string;
  /** The Emissary that has missed something; absent where that is only possible. */
  readonly emissary?: EmissaryObserver;
}

/** Touches TLSContexts when nudge.ts says so: any change of one makes Emissary read everything again. */
export class Nudger {
  readonly #ports: NudgerPorts;
  #unobserved = new Map<IdentityKey, UnobservedWrite>();
  #waiting: readonly Nudge[] = [];
  /** Whether a nudge of an observed Emissary waits or is under way: one at a time. */
  #isNudging = false;

  constructor(ports: NudgerPorts) {
    this.#ports = ports;
  }

  written(identity: MeshCertificate): void {
    this.#unobserved.set(keyOf(identity), { identity, atMs: this.#ports.clock.elapsedMs() });
  }

  forget(key: IdentityKey): void {
    this.#unobserved.delete(key);
  }

  /**
   * Nudges the Emissary if it is time; returns when to think of it again, by `elapsedMs()`.
   * @param isLeftAlone whether touches of its Mappings are to heal what is missing
   */
  nudge(
    emissary: EmissaryObserver,
    evaluations: readonly EmissaryEvaluation[],
    expectations: ReadonlyMap<IdentityKey, NudgeCandidate>,
    isLeftAlone: boolean,
  ): number | undefined {
    const { store, clock } = this.#ports;
    const need = needOf(emissary.observation, evaluations, store.mappings);
    const dueMs = emissary.nextNudgeMs(need);
    if (need === undefined || dueMs === undefined || isLeftAlone) return undefined;
    if (dueMs > clock.elapsedMs()) return dueMs;
    // Any context works. Each nudge takes another one, in case one cannot be touched.
    const candidates = [...expectations.values()].flatMap(({ identity, contexts, problems }) => {
      const [context] = problems.size > 0 ? contextsIn(emissary.observation, contexts) : [];
      return context === undefined ? [] : [{ identity, context: context.name, emissary }];
    });
    const nudge = candidates[countOf(emissary.nudges) % candidates.length];
    if (nudge === undefined || this.#isNudging) return undefined;
    this.#isNudging = true;
    emissary.addNudge(need);
    this.#enqueue([nudge]);
    return undefined;
  }

  /**
   * Nudges each Emissary by one of the contexts that it sees; returns when to think of it again, by
   * `elapsedMs()`.
   */
  nudgeUnobserved(expectations: ReadonlyMap<IdentityKey, NudgeCandidate>): number | undefined {
    const { store, clock } = this.#ports;
    const isUnobserved = (key: IdentityKey) => expectations.get(key)?.isUnobserved ?? false;
    const nowMs = clock.elapsedMs();
    const { writes, due, nextMs } = unobservedNudges(this.#unobserved, isUnobserved, store.mappings, nowMs);
    this.#unobserved = writes;
    const touched = new Set<string>();
    const nudges = due.flatMap((identity): Nudge[] => {
      const [context] = expectations.get(keyOf(identity))?.contexts ?? [];
      if (context === undefined || context.ambassadorIds.every((id) => touched.has(id))) return [];
      for (const id of context.ambassadorIds) touched.add(id);
      return [{ identity, context: context.name }];
    });
    if (nudges.length > 0) this.#enqueue(nudges);
    return nextMs;
  }

  /** Writes the nudges that wait. */
  async send(signal: AbortSignal): Promise<undefined> {
    const nudges = this.#waiting;
    this.#waiting = [];
    try {
      await Promise.all(nudges.map((nudge) => this.#send(nudge, signal)));
    } finally {
      if (nudges.some(({ emissary }) => emissary !== undefined)) this.#isNudging = false;
      this.#ports.onSent();
    }
  }

  #enqueue(nudges: readonly Nudge[]): void {
    this.#waiting = [...this.#waiting, ...nudges];
    this.#ports.enqueue();
  }

  async #send({ identity, context, emissary }: Nudge, signal: AbortSignal): Promise<void> {
    const { store, observer, logger } = this.#ports;
    const count = emissary && countOf(emissary.nudges);
    const what = { identity: keyOf(identity), context, emissary: emissary?.name, count };
    try {
      await store.nudge(identity, context);
      observer.touched("TLSContext");
      emissary?.nudged();
      logger.info(what, "touched the TLSContext: the ingress has missed a change");
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof AttacheError)) throw error;
      logger.warn({ ...what, err: error }, "the TLSContext could not be touched for the ingress");
    }
  }
}
