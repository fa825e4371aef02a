import { isDeepStrictEqual } from "node:util";
import { type IdentityKey, keyOf, type MeshCertificate } from "../api/mesh-certificate.ts";
import type { Clock } from "../runtime/clock.ts";
import { type Consumer, consumerKey } from "../emissary/consumer.ts";
import { observedExposure } from "../emissary/exposure.ts";
import { AttacheError } from "../errors/attache-error.ts";
import type { IdentityRef } from "../store/store.ts";
import type { Logger } from "../telemetry/logger.ts";
import { BlindNudges } from "./blind-nudges.ts";
import type { Consumption } from "./consumption.ts";
import { Emissary, type EmissaryPorts, type Look, type Search, type Trouble } from "./emissary.ts";
import { type ClusterFinding, concluded, isHopeless, isMissing } from "./finding.ts";
import type { Need } from "./nudging.ts";
import type { Probe } from "./probe.ts";
import { type Expected, type Ingress, type IngressHealth, notConfigured, type Served } from "./ingress.ts";
import { least } from "./least.ts";

export interface EmissaryIngressPorts {
  readonly emissaries: readonly Omit<EmissaryPorts, "onAnswer" | "onPods" | "clock">[];
  readonly consumption: Consumption;
  readonly observer: IngressObserver;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What is counted of an ingress. */
export interface IngressObserver {
  /** All pods have what was published so many milliseconds before. */
  served(ms: number): void;
  nudged(): void;
}

interface Expectation extends Search {
  readonly identity: MeshCertificate;
  readonly target: Expected;
  served: Served;
  /** Whether there is anything left to be seen. */
  isPending: boolean;
  /** Whether it has come to all once. */
  isComplete: boolean;
  /** Whether metrics show of it what they showed before: it is then believed as soon as they are newer. */
  readonly isAlike: boolean;
  /** Whether nobody tells how far it has come. */
  isBlind: boolean;
}

/** While anything is awaited, it is looked at so often at least: that a pod does not answer tells nobody. */
const lookAgainMs = 1_000;

const waiting: Served = {
  status: "Unknown",
  reason: "Waiting",
  message: "Waiting for the ingress to load what is published.",
  isPending: true,
};

/**
 * Knows from the metrics of ingress pods what they have loaded, asks while anything is awaited and only then, and nudges an Emissary
 * that has missed something.
 */
export class EmissaryIngress implements Ingress {
  readonly #ports: EmissaryIngressPorts;
  readonly #emissaries: readonly Emissary[];
  readonly #expectations = new Map<IdentityKey, Expectation>();
  readonly #blind: BlindNudges;
  readonly #listeners = new Set<(key: IdentityKey) => void>();
  readonly #stack = new AsyncDisposableStack();
  #exposed = new Map<string, Consumer>();
  #isDue = false;
  /** Whether who uses what, or the pods, may have changed: then everything is looked at. */
  #isNew = true;
  #alarm: AbortController | undefined;
  #isForAll = false;
  /** What is expected, and was not looked at since. */
  readonly #fresh = new Set<IdentityKey>();
  #nudging: Promise<void> | undefined;
  readonly #over = new AbortController();
  /** By `elapsedMs()`. */
  #restUntilMs = 0;

  constructor(ports: EmissaryIngressPorts) {
    const { consumption, clock } = ports;
    this.#ports = ports;
    this.#blind = new BlindNudges(consumption, clock);
    this.#emissaries = ports.emissaries.map((one) =>
      this.#stack.use(
        new Emissary({
          ...one,
          clock,
          onAnswer: () => this.#ring(),
          onPods: () => this.#changed(),
        }),
      ),
    );
    this.#stack.use(consumption.onConsumers(() => this.#changed()));
  }

  /** Who sends without a client certificate now, as far as is known. */
  get exposed(): readonly Consumer[] {
    return [...this.#exposed.values()];
  }

  get health(): IngressHealth | undefined {
    if (this.#emissaries.length === 0) return undefined;
    const pods = { answering: 0, silent: 0, frozen: 0 };
    for (const emissary of this.#emissaries) {
      for (const probe of emissary.probes) {
        if (emissary.isFrozen(probe)) pods.frozen += 1;
        else if (probe.failure !== undefined) pods.silent += 1;
        else pods.answering += 1;
      }
    }
    return { pods, exposed: this.#exposed.size };
  }

  expect(identity: MeshCertificate, target: Expected): void {
    const { consumption, clock } = this.#ports;
    const key = keyOf(identity);
    const before = this.#expectations.get(key);
    const contexts = consumption.contextsOf(identity);
    this.#fresh.add(key);
    if (before?.target.fingerprint === target.fingerprint && !target.isWritten) {
      // A round of the reconciler, which found everything as it should be.
      this.#expectations.set(key, { ...before, identity, contexts, isPending: true });
    } else {
      const wanted = { leaf: secondsOf(target.leafNotAfter), root: secondsOf(target.rootNotAfter) };
      this.#expectations.set(key, {
        ...{ identity, target, contexts, wanted },
        sinceMs: clock.elapsedMs(),
        troubles: before?.troubles ?? new Map<string, Trouble>(),
        served: this.#pending(before),
        isPending: true,
        isComplete: false,
        isAlike: before !== undefined && isDeepStrictEqual(before.wanted, wanted),
        isBlind: this.#emissaries.length === 0,
      });
      if (target.isWritten) this.#blind.written(identity);
      for (const { probes } of this.#emissaries) for (const probe of probes) probe.ring();
    }
    this.#ring(false);
  }

  forget(identity: IdentityRef): void {
    this.#expectations.delete(keyOf(identity));
    this.#blind.forget(keyOf(identity));
    this.#ring();
  }

  servedOf(identity: IdentityRef): Served {
    return this.#expectations.get(keyOf(identity))?.served ?? this.#unknown;
  }

  onChange(listener: (key: IdentityKey) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    this.#alarm?.abort();
    await this.#nudging;
    await this.#stack.disposeAsync();
  }

  get #unknown(): Served {
    return this.#emissaries.length === 0 ? notConfigured : waiting;
  }

  #pending(before: Expectation | undefined): Served {
    const served = before?.served ?? this.#unknown;
    return { ...served, isPending: this.#emissaries.length > 0 };
  }

  get #isClosed(): boolean {
    return this.#over.signal.aborted;
  }

  #changed(): void {
    this.#isNew = true;
    this.#ring();
  }

  /** Many things that come together are looked at together, and no more time is spent on looking than on everything else. */
  #ring(isForAll = true): void {
    this.#isForAll ||= isForAll;
    if (this.#isDue || this.#isClosed) return;
    this.#isDue = true;
    const restMs = this.#restUntilMs - this.#ports.clock.elapsedMs();
    const rest =
      restMs > 0
        ? this.#ports.clock.sleep(restMs, this.#over.signal).catch(() => undefined)
        : Promise.resolve();
    const look = () => {
      this.#isDue = false;
      if (this.#isForAll) this.#look();
      else this.#glance();
    };
    rest.then(look).catch((error: unknown) => {
      this.#ports.logger.error({ err: error }, "bug: a look at the ingress failed; please report");
    });
  }

  /** At what is new alone: of thousands that are published one after the other, not everything is looked at each time. */
  #glance(): void {
    if (this.#isClosed) return;
    const changed: IdentityKey[] = [];
    for (const key of this.#fresh) {
      const expectation = this.#expectations.get(key);
      if (expectation === undefined) continue;
      const looks = this.#emissaries.flatMap((emissary) => {
        const look = emissary.look(expectation);
        if (look === undefined) return [];
        for (const probe of emissary.probes) if (missingIn([look], probe).length > 0) probe.want(true);
        return look;
      });
      if (this.#conclude(expectation, looks)) changed.push(key);
    }
    this.#fresh.clear();
    if (this.#alarm === undefined) this.#wake([lookAgainMs]);
    this.#tell(changed);
  }

  #look(): void {
    if (this.#isClosed) return;
    this.#isForAll = false;
    this.#fresh.clear();
    const { clock } = this.#ports;
    const beganMs = clock.elapsedMs();
    this.#lookAtAll();
    const endedMs = clock.elapsedMs();
    this.#restUntilMs = endedMs + 2 * (endedMs - beganMs);
  }

  #lookAtAll(): void {
    if (this.#isNew) this.#renew();
    const changed: IdentityKey[] = [];
    const looked = new Map<Emissary, Look[]>(this.#emissaries.map((emissary) => [emissary, []]));
    for (const [key, expectation] of this.#expectations) {
      if (!expectation.isPending) continue;
      const looks = this.#emissaries.flatMap((emissary) => {
        const look = emissary.look(expectation);
        if (look !== undefined) looked.get(emissary)?.push(look);
        return look ?? [];
      });
      if (this.#conclude(expectation, looks)) changed.push(key);
    }
    this.#observeExposures([...looked.values()].flat());
    for (const [emissary, looks] of looked) {
      for (const probe of emissary.probes) {
        const missing = missingIn(looks, probe);
        probe.want(missing.length > 0, missing.every(isHopeless));
      }
    }
    const soon = this.#emissaries.flatMap(
      (emissary) => this.#nudge(emissary, looked.get(emissary) ?? []) ?? [],
    );
    this.#nudgeBlindly();
    const lateInMs = [...looked.values()].flat().flatMap((look) => look.lateInMs ?? []);
    const isPending = this.#expectations.values().some((expectation) => expectation.isPending);
    this.#wake([...soon, ...lateInMs, ...(isPending ? [lookAgainMs] : [])]);
    this.#tell(changed);
  }

  #tell(changed: readonly IdentityKey[]): void {
    for (const key of changed) for (const listener of this.#listeners) listener(key);
  }

  #renew(): void {
    const { consumption } = this.#ports;
    this.#isNew = false;
    const consumers = consumption.consumers();
    const all = consumers && [...consumers];
    for (const emissary of this.#emissaries) emissary.consumersChanged(all);
    for (const [key, expectation] of this.#expectations) {
      const contexts = consumption.contextsOf(expectation.identity);
      this.#expectations.set(key, { ...expectation, contexts, isPending: true });
    }
  }

  /** Returns whether there is anything new to tell. */
  #conclude(expectation: Expectation, looks: readonly Look[]): boolean {
    const { observer, clock, logger, consumption } = this.#ports;
    const { served: before, target, identity } = expectation;
    if (consumption.consumers() === undefined) return false;
    const findings = looks.map(({ finding }) => finding);
    expectation.isBlind = expectation.isAlike || looks.every(({ isBlind }) => isBlind);
    const { verdict, isPending } = concluded(findings, target.leafNotAfter);
    expectation.served = looks.length === 0 ? this.#unseen : { ...(verdict ?? before), isPending };
    expectation.isPending = findings.some(
      ({ pods, problem, clusters }) =>
        problem !== undefined ||
        (clusters > 0 && pods.length === 0) ||
        pods.some((pod) => pod.clusters.some(isMissing)),
    );
    // Also of an Emissary that sees it no more.
    if (!expectation.isPending) expectation.troubles.clear();
    if (verdict?.reason === "Served" && !expectation.isComplete) {
      expectation.isComplete = true;
      if (target.isWritten) observer.served(clock.elapsedMs() - expectation.sinceMs);
    }
    const now = expectation.served;
    if (now.reason !== before.reason && now.status === "False") {
      const what = { identity: keyOf(identity), reason: now.reason };
      logger[now.reason === "NotTaken" ? "warn" : "error"](what, now.message);
    }
    return (
      now.status !== before.status ||
      now.reason !== before.reason ||
      now.message !== before.message ||
      now.isPending !== before.isPending
    );
  }

  get #unseen(): Served {
    return this.#emissaries.length === 0 ? notConfigured : unseen;
  }

  #observeExposures(looks: readonly Look[]): void {
    const exposed = new Map(looks.flatMap((look) => look.exposed.map((one) => [consumerKey(one), one])));
    const isSame =
      exposed.size === this.#exposed.size && exposed.keys().every((key) => this.#exposed.has(key));
    this.#exposed = exposed;
    if (!isSame) this.#ports.consumption.observeExposures([...exposed.values()].map(observedExposure));
  }

  /** Returns in how many milliseconds it is to be thought of again. */
  #nudge(emissary: Emissary, looks: readonly Look[]): number | undefined {
    const sinceMs = least(looks.map(({ lateMs }) => lateMs));
    if (sinceMs === undefined) {
      emissary.nudging.rest();
      return undefined;
    }
    const { patienceMs, reconfigurationMs } = emissary;
    const { mappings } = this.#ports.consumption;
    const pods = looks.flatMap(({ finding }) =>
      finding.pods.filter(({ clusters }) => clusters.some(({ isLate }) => isLate)),
    );
    const need = {
      ...{ patienceMs, reconfigurationMs, mappings },
      sinceMs,
      newestMs: looks.reduce((newest, { lateMs = newest }) => Math.max(newest, lateMs), sinceMs),
      isFrozen: pods.every(({ isFrozen }) => isFrozen),
      isTaken: !pods.some(({ isDeaf }) => isDeaf),
    };
    const dueInMs = emissary.nudging.dueInMs(need);
    if (dueInMs > 0) return dueInMs;
    // Any context will do; if one cannot be touched, the next time it is another.
    const candidates = [...this.#expectations.values()].flatMap(({ identity, contexts, troubles }) => {
      const context = troubles.size > 0 ? contexts.find((one) => emissary.sees(one)) : undefined;
      return context === undefined ? [] : [{ identity, context }];
    });
    const one = candidates[emissary.nudging.count % candidates.length];
    if (one === undefined || this.#nudging !== undefined) return undefined;
    this.#nudging = this.#send(emissary, need, one.identity, one.context.name).finally(() => {
      this.#nudging = undefined;
      this.#ring();
    });
    return undefined;
  }

  /** All at once, and each Emissary by one of the contexts that it sees. */
  #nudgeBlindly(): void {
    const due = this.#blind.due((key) => this.#expectations.get(key)?.isBlind ?? false);
    const touched = new Set<string>();
    for (const identity of due) {
      const [context] = this.#expectations.get(keyOf(identity))?.contexts ?? [];
      const isNew = context?.ambassadorIds.some((id) => !touched.has(id)) ?? false;
      if (context === undefined || !isNew) continue;
      for (const id of context.ambassadorIds) touched.add(id);
      void this.#touch(identity, context.name, {});
    }
  }

  async #send(emissary: Emissary, need: Need, identity: MeshCertificate, context: string): Promise<void> {
    // Also one that fails counts: it is not tried again at once.
    emissary.nudging.nudged(need);
    const about = { emissary: emissary.name, count: emissary.nudging.count };
    if (await this.#touch(identity, context, about)) emissary.nudged();
  }

  /** Returns whether it was written. */
  async #touch(identity: MeshCertificate, context: string, about: object): Promise<boolean> {
    const { consumption, observer, logger } = this.#ports;
    const what = { identity: keyOf(identity), context, ...about };
    try {
      await consumption.nudge(identity, context);
      observer.nudged();
      logger.info(what, "nudged: the ingress has missed something");
      return true;
    } catch (error) {
      if (this.#isClosed) return false;
      if (!(error instanceof AttacheError)) logger.error({ ...what, err: error }, "bug: please report");
      else logger.warn({ ...what, err: error }, "the ingress could not be nudged");
      return false;
    }
  }

  /** At the first of these times, in milliseconds from now. */
  #wake(inMs: readonly number[]): void {
    this.#alarm?.abort();
    this.#alarm = undefined;
    const ms = least([...inMs, this.#blind.inMs]);
    if (ms === undefined) return;
    const alarm = new AbortController();
    this.#alarm = alarm;
    this.#ports.clock.sleep(Math.max(1, ms), alarm.signal).then(
      () => {
        this.#alarm = undefined;
        this.#ring();
      },
      () => undefined,
    );
  }
}

/** What the pod does not show as it should. */
function missingIn(looks: readonly Look[], { pod: { name } }: Probe): ClusterFinding[] {
  return looks.flatMap(({ finding }) =>
    finding.pods.flatMap((pod) => (pod.name === name ? pod.clusters.filter(isMissing) : [])),
  );
}

const unseen: Served = {
  status: "Unknown",
  reason: "OtherAmbassadorId",
  message:
    "No Emissary under `emissary:` in the settings has the ambassador_id of the TLSContext: name it there.",
  isPending: false,
};

/** As Envoy tells it. */
function secondsOf(date: Date): number {
  return Math.floor(date.getTime() / 1_000);
}
