import { isDeepStrictEqual } from "node:util";
import { type IdentityKey, keyOf, type MeshCertificate, partsOf } from "../api/mesh-certificate.ts";
import { type Consumer, consumerKey } from "../emissary/consumer.ts";
import type { Exposure } from "../emissary/exposure.ts";
import { type Requeue, Worker } from "../runtime/worker.ts";
import type { KubernetesStore } from "../store/kubernetes/kubernetes-store.ts";
import type { IdentityRef } from "../store/store.ts";
import type { Counters } from "../telemetry/counters.ts";
import type { IngressState, QueueState } from "../telemetry/state.ts";
import { EmissaryObserver, type EmissaryPorts } from "./emissary-observer.ts";
import { evaluate, type Evaluation, keptWhileFrozen, least, noProblems, type Search } from "./evaluate.ts";
import { type Expected, type Ingress, notConfigured, type Served } from "./ingress.ts";
import type { EmissaryEvaluation, EmissaryObservation } from "./observation.ts";
import { Patrol } from "./patrol.ts";
import type { PodPoller } from "./pod-poller.ts";
import { type TouchCandidate, Toucher, type Touched, type ToucherPorts } from "./toucher.ts";

export interface IngressControllerPorts extends Omit<ToucherPorts, "enqueue" | "onSent"> {
  readonly store: ToucherPorts["store"] &
    Pick<KubernetesStore, "consumers" | "contextsOf" | "observeExposures" | "onConsumers">;
  readonly observer: Pick<Counters, "reconciled" | "served" | "touched">;
  readonly emissaries: readonly EmissaryPorts[];
}

interface Expectation extends Search, TouchCandidate {
  readonly target: Expected;
  readonly served: Served;
  /** Whether a pod may have something left to load: only then is it evaluated. */
  readonly isIncomplete: boolean;
  /** Whether all pods had loaded everything once. */
  readonly isComplete: boolean;
  /** Whether metrics cannot tell it from what was published before: a newer page then counts as proof. */
  readonly isAlike: boolean;
  /** The Emissaries in which a cluster uses it, by name. */
  readonly usedIn: ReadonlySet<string>;
}

/** While anything is expected, everything is evaluated at least this often: a silent pod raises no event. */
const recheckMs = 1_000;

/** What is complete is evaluated again when pods show something else, at most as often. */
const minReviewMs = 10_000;

/** How many pods are asked at the same time. */
const maxConcurrentPolls = 64;

const waiting: Served = {
  status: "Unknown",
  reason: "Waiting",
  message: "Waiting for the ingress to load what is published.",
  isPending: true,
};

const otherAmbassadorId: Served = {
  status: "Unknown",
  reason: "OtherAmbassadorId",
  message:
    "No Emissary under `emissary:` in the settings has the ambassador_id of the TLSContext: name it there.",
  isPending: false,
};

/**
 * Observes the ingress while anything is expected of it, evaluates what its pods have loaded, and nudges an
 * Emissary that has missed something.
 */
export class IngressController implements Ingress {
  readonly #ports: IngressControllerPorts;
  readonly #emissaries: readonly EmissaryObserver[];
  readonly #expectations = new Map<IdentityKey, Expectation>();
  /** Expectations that are new since the last evaluation. */
  readonly #changed = new Set<IdentityKey>();
  readonly #listeners = new Set<(key: IdentityKey) => void>();
  readonly #worker: Worker<"evaluate" | Touched>;
  readonly #toucher: Toucher;
  readonly #polls: Worker<PodPoller>;
  readonly #stack = new AsyncDisposableStack();
  /** By `consumerKey`. */
  #exposures: ReadonlyMap<string, Exposure> = new Map();
  #kept: ReadonlySet<string> = new Set();
  /** Whether consumers or pods may have changed. */
  #isStale = true;
  /** When to evaluate all expectations, and until when not to evaluate, by `elapsedMs()`. */
  #allMs = Infinity;
  #restUntilMs = 0;
  /** Whether pods have answered since what is complete was reviewed, and from when on it may be again. */
  #hasAnswers = false;
  #reviewMs = -Infinity;

  constructor(ports: IngressControllerPorts) {
    const { store, clock, logger, observer } = ports;
    this.#ports = ports;
    const onError = (_: unknown, error: unknown) =>
      logger.log("Bug", { what: "evaluating the ingress", err: error });
    const shared = { clock, observer, onError };
    this.#polls = new Worker<PodPoller>({
      ...shared,
      maxConcurrentReconciles: maxConcurrentPolls,
      reconcile: (poller, signal) => poller.poll(signal),
    });
    const patrol = new Patrol<PodPoller>(clock);
    this.#emissaries = ports.emissaries.map((emissary) =>
      this.#stack.use(
        new EmissaryObserver({
          ...emissary,
          clock,
          ...{ polls: this.#polls, patrol },
          mappings: () => store.mappings,
          onAnswer: () => {
            this.#hasAnswers = true;
            this.#enqueueAll();
          },
          onPods: () => this.#refresh(),
        }),
      ),
    );
    this.#stack.use(this.#polls);
    this.#worker = this.#stack.use(
      new Worker<"evaluate" | Touched>({
        ...shared,
        maxConcurrentReconciles: 3,
        reconcile: (key, signal) =>
          key === "evaluate" ? Promise.resolve(this.#evaluate()) : this.#toucher.send(key, signal),
      }),
    );
    this.#toucher = new Toucher({
      ...ports,
      enqueue: (touched) => this.#worker.enqueue(touched),
      onSent: () => this.#enqueueAll(),
    });
    this.#stack.use(store.onConsumers(() => this.#refresh()));
  }

  /** The consumers that send without a client certificate now, as far as observed. */
  get exposed(): readonly Consumer[] {
    return Array.from(this.#exposures.values(), ({ consumer }) => consumer);
  }

  get queue(): QueueState {
    const [work, polls] = [this.#worker, this.#polls];
    return { depth: work.depth + polls.depth, oldestMs: Math.max(work.oldestMs, polls.oldestMs) };
  }

  get emissaries(): readonly string[] {
    return this.#emissaries.map(({ name }) => name);
  }

  get health(): IngressState | undefined {
    if (this.#emissaries.length === 0) return undefined;
    const pods = { answering: 0, silent: 0, frozen: 0 };
    for (const { progress, failure } of this.#emissaries.flatMap((emissary) => emissary.observe().pods)) {
      if (progress?.isFrozen) pods.frozen += 1;
      else if (failure !== undefined) pods.silent += 1;
      else pods.answering += 1;
    }
    const leaves = () => this.#emissaries.flatMap((emissary) => emissary.leaves());
    return { pods, exposed: this.#exposures.size, leaves };
  }

  expect(identity: MeshCertificate, target: Expected): void {
    const { store, clock } = this.#ports;
    const key = keyOf(identity);
    const before = this.#expectations.get(key);
    const contexts = store.contextsOf(identity);
    this.#changed.add(key);
    if (before?.target.fingerprint === target.fingerprint && !target.isWritten) {
      this.#expectations.set(key, { ...before, identity, contexts, isIncomplete: true });
    } else {
      const wanted = { leaf: secondsOf(target.leafNotAfter), root: secondsOf(target.rootNotAfter) };
      const sinceMs = clock.elapsedMs();
      this.#expectations.set(key, {
        ...{ identity, target, contexts, wanted, sinceMs, leafNotAfter: target.leafNotAfter },
        problems: before?.problems ?? noProblems,
        served: { ...(before?.served ?? this.#unknown), isPending: this.#emissaries.length > 0 },
        isIncomplete: true,
        isComplete: false,
        isAlike: isDeepStrictEqual(before?.wanted, wanted),
        isUnobserved: this.#emissaries.length === 0,
        usedIn: before?.usedIn ?? new Set(),
      });
      if (target.isWritten) this.#toucher.written(identity);
      for (const emissary of this.#emissaries) emissary.pollSoon();
    }
    this.#worker.enqueue("evaluate");
  }

  forget(identity: IdentityRef): void {
    const key = keyOf(identity);
    this.#expectations.delete(key);
    this.#toucher.forget(key);
    this.#enqueueAll();
  }

  servedOf(identity: IdentityRef): Served {
    return this.#expectations.get(keyOf(identity))?.served ?? this.#unknown;
  }

  loadedOf(identity: IdentityRef): readonly EmissaryEvaluation[] | undefined {
    const expectation = this.#expectations.get(keyOf(identity));
    if (this.#emissaries.length === 0) return undefined;
    if (expectation === undefined) return [];
    const { clock } = this.#ports;
    const now = { date: clock.now(), elapsedMs: clock.elapsedMs() };
    const observations = this.#emissaries.map((emissary) => emissary.observe());
    return evaluate(expectation, observations, now).emissaries;
  }

  onChange(listener: (key: IdentityKey) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }

  get #unknown(): Served {
    return this.#emissaries.length === 0 ? notConfigured : waiting;
  }

  #refresh(): void {
    this.#isStale = true;
    this.#enqueueAll();
  }

  #enqueueAll(): void {
    this.#allMs = -Infinity;
    this.#worker.enqueue("evaluate");
  }

  /**
   * Rests for twice the time of the last evaluation, so that events close together are evaluated together.
   */
  #evaluate(): Requeue | undefined {
    const { clock } = this.#ports;
    const beganMs = clock.elapsedMs();
    if (beganMs < this.#restUntilMs) return { requeueAfterMs: this.#restUntilMs - beganMs };
    // An evaluation that throws stays due.
    if (beganMs >= this.#allMs) this.#allMs = this.#evaluateAll() ?? Infinity;
    else this.#evaluateChanged();
    this.#changed.clear();
    const endedMs = clock.elapsedMs();
    this.#restUntilMs = endedMs + 2 * (endedMs - beganMs);
    return this.#allMs === Infinity ? undefined : { requeueAfterMs: Math.max(1, this.#allMs - endedMs) };
  }

  /** Evaluates only new expectations: thousands of identities may be published one after the other. */
  #evaluateChanged(): void {
    const observations = this.#emissaries.map((emissary) => emissary.observe());
    const evaluations = [...this.#changed].flatMap((key) => this.#evaluateOne(key, observations) ?? []);
    for (const emissary of this.#emissaries)
      emissary.pollMissing(ofEmissary(evaluations, emissary), true, true);
    this.#allMs = Math.min(this.#allMs, this.#ports.clock.elapsedMs() + recheckMs);
  }

  /** Returns when to do so again, by `elapsedMs()`. */
  #evaluateAll(): number | undefined {
    if (this.#isStale) this.#readConsumers();
    this.#isStale = false;
    const nowMs = this.#ports.clock.elapsedMs();
    const observations = this.#emissaries.map((emissary) => emissary.observe());
    this.#review(nowMs);
    const incomplete = [...this.#expectations].filter(([, { isIncomplete }]) => isIncomplete);
    const evaluations = incomplete.flatMap(([key]) => this.#evaluateOne(key, observations) ?? []);
    this.#observeExposures(evaluations, keptWhileFrozen(observations));
    const nextTouches = this.#emissaries.flatMap((emissary) => {
      const own = ofEmissary(evaluations, emissary);
      emissary.pollMissing(
        own,
        this.#expectations.values().some(({ usedIn }) => usedIn.has(emissary.name)),
      );
      return this.#toucher.touch(emissary, own, this.#expectations.values());
    });
    const isAnyIncomplete = this.#expectations.values().some(({ isIncomplete }) => isIncomplete);
    return least([
      ...nextTouches,
      ...evaluations.flatMap(({ emissaries }) => emissaries.map(({ nextLateMs }) => nextLateMs)),
      this.#toucher.touchUnobserved(this.#expectations),
      isAnyIncomplete ? nowMs + recheckMs : undefined,
      this.#hasAnswers ? this.#reviewMs : undefined,
    ]);
  }

  /** What is complete is evaluated again if pods show something else: it may be lost. */
  #review(nowMs: number): void {
    if (!this.#hasAnswers || nowMs < this.#reviewMs) return;
    this.#hasAnswers = false;
    this.#reviewMs = nowMs + minReviewMs;
    const hasNews = this.#emissaries.filter((emissary) => emissary.hasNews()).length > 0;
    if (!hasNews) return;
    for (const [key, expectation] of this.#expectations)
      this.#expectations.set(key, { ...expectation, isIncomplete: true });
  }

  #readConsumers(): void {
    const { store } = this.#ports;
    const consumers = store.consumers();
    const all = consumers && [...consumers];
    for (const emissary of this.#emissaries) emissary.setConsumers(all);
    for (const [key, expectation] of this.#expectations) {
      const contexts = store.contextsOf(expectation.identity);
      this.#expectations.set(key, { ...expectation, contexts, isIncomplete: true });
    }
  }

  #evaluateOne(key: IdentityKey, observations: readonly EmissaryObservation[]): Evaluation | undefined {
    const { clock, store } = this.#ports;
    const expectation = this.#expectations.get(key);
    if (expectation === undefined || store.consumers() === undefined) return undefined;
    const now = { date: clock.now(), elapsedMs: clock.elapsedMs() };
    const evaluation = evaluate(expectation, observations, now);
    this.#conclude(key, expectation, evaluation);
    return evaluation;
  }

  #conclude(key: IdentityKey, before: Expectation, evaluation: Evaluation): void {
    const { observer, clock, logger } = this.#ports;
    const { emissaries, condition, isPending, isIncomplete, problems } = evaluation;
    const isUnseen = emissaries.length === 0;
    const unseen = this.#emissaries.length === 0 ? notConfigured : otherAmbassadorId;
    const served = isUnseen ? unseen : { ...(condition ?? before.served), isPending };
    const isServed = condition?.reason === "Served";
    if (isServed && !before.isComplete && before.target.isWritten)
      observer.served(clock.elapsedMs() - before.sinceMs);
    this.#expectations.set(key, {
      ...before,
      ...{ served, isIncomplete, problems },
      isComplete: before.isComplete || isServed,
      isUnobserved: before.isAlike || evaluation.isUnobserved,
      usedIn: new Set(emissaries.flatMap(({ emissary, clusters }) => (clusters > 0 ? emissary.name : []))),
    });
    if (served.reason !== before.served.reason && served.status === "False") {
      const { reason, message: problem } = served;
      const id = reason === "NotTaken" ? "NotServed" : "IngressAlarm";
      logger.child(partsOf(key)).log(id, { reason, problem });
    }
    if (!isDeepStrictEqual(served, before.served)) for (const listener of this.#listeners) listener(key);
  }

  #observeExposures(evaluations: readonly Evaluation[], kept: ReadonlySet<string>): void {
    const found = evaluations.flatMap(({ emissaries }) => emissaries.flatMap(({ exposures }) => exposures));
    const exposures = new Map(found.map((one) => [consumerKey(one.consumer), one]));
    const isSame =
      isDeepStrictEqual(new Set(exposures.keys()), new Set(this.#exposures.keys())) &&
      isDeepStrictEqual(kept, this.#kept);
    this.#exposures = exposures;
    this.#kept = kept;
    if (!isSame) this.#ports.store.observeExposures({ exposures: [...exposures.values()], kept });
  }
}

function ofEmissary(evaluations: readonly Evaluation[], { name }: EmissaryObserver): EmissaryEvaluation[] {
  return evaluations.flatMap(({ emissaries }) => emissaries.filter((one) => one.emissary.name === name));
}

/** In Unix seconds, as Envoy shows it. */
function secondsOf(date: Date): number {
  return Math.floor(date.getTime() / 1_000);
}
