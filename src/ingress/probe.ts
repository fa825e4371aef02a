import type { Clock } from "../runtime/clock.ts";
import type { MetricsPage } from "../emissary/metrics-page.ts";
import { delayMs } from "../runtime/backoff.ts";
import { unlessAborted } from "../runtime/abort.ts";
import type { Pod } from "./pods.ts";

/** Asks one pod. */
export type Ask = (pod: Pod, wanted: ReadonlySet<string>, signal: AbortSignal) => Promise<MetricsPage>;

export interface ProbePorts {
  readonly ask: Ask;
  /** The clusters to look for. */
  readonly wanted: () => ReadonlySet<string>;
  /** Called when the pod has answered, or has failed to. */
  readonly onAnswer: () => void;
  readonly clock: Clock;
}

/** What a pod has answered. */
export interface Answer {
  readonly page: MetricsPage;
  /** The clusters that were looked for. */
  readonly wanted: ReadonlySet<string>;
  /** When it was asked, by `elapsedMs()`: what happened since need not be in it. */
  readonly askedMs: number;
}

export interface Failure {
  readonly error: unknown;
  /** How often in a row. */
  readonly count: number;
  /** Of the first of them, by the wall clock. */
  readonly since: Date;
}

/** Emissary takes a change in 70 ms at best, and Envoy's page shows it a moment later. */
const firstMs = 150;

/** For a pod that answers, and has not come so far. */
const maxMs = 5_000;

/** For what may never come. */
const slowMs = 30_000;

/** For so long a pod may think about a question before it counts as one that does not answer. */
const thinkingMs = 2_000;

/**
 * Asks one pod again and again as long as somebody wants to know: one request at a time, at growing intervals, and never so
 * often that the pod is busy with it for more than a third of the time.
 */
export class Probe implements AsyncDisposable {
  readonly pod: Pod;
  readonly seen: { readonly at: Date; readonly ms: number };
  answer: Answer | undefined;
  failure: Failure | undefined;
  readonly #ports: ProbePorts;
  readonly #over = new AbortController();
  readonly #running: Promise<void>;
  #isWanted = false;
  #isSlow = false;
  #bell = Promise.withResolvers<undefined>();
  #tries = 0;
  /** Ends the pause before the next question, to begin a shorter one. */
  #hurry: (() => void) | undefined;
  #dueMs = 0;
  #askingSinceMs: number | undefined;
  #tookMs = 0;

  constructor(pod: Pod, ports: ProbePorts) {
    this.pod = pod;
    this.#ports = ports;
    this.seen = { at: ports.clock.now(), ms: ports.clock.elapsedMs() };
    this.#running = this.#run(this.#over.signal);
  }

  /** Whether it is one that answers: not known to be silent, nor overdue. */
  get isResponsive(): boolean {
    const sinceMs = this.#askingSinceMs;
    if (this.failure !== undefined) return false;
    return sinceMs === undefined || this.#ports.clock.elapsedMs() - sinceMs < thinkingMs;
  }

  /** Whether somebody wants to know, and whether it is in no hurry. */
  want(isWanted: boolean, isSlow = false): void {
    this.#isSlow = isSlow;
    if (isWanted && !this.#isWanted) this.#bell.resolve(undefined);
    this.#isWanted = isWanted;
  }

  /** Something has happened that may show soon: the intervals begin anew. */
  ring(): void {
    this.#tries = 0;
    // A pod that does not answer is not asked the more often for it.
    if (this.failure !== undefined) return;
    const soonMs = this.#ports.clock.elapsedMs() + this.#pauseMs();
    if (this.#dueMs <= soonMs) return;
    this.#dueMs = soonMs;
    this.#hurry?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error("the pod is not asked any more"));
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await unlessAborted(this.#bell.promise, signal).catch(() => undefined);
      this.#bell = Promise.withResolvers();
      this.#tries = 0;
      while (this.#isDue(signal)) {
        await this.#pause(signal);
        if (this.#isDue(signal)) await this.#question(signal);
      }
    }
  }

  /** A call, because the compiler takes it that what was so before a wait is so after it. */
  #isDue({ aborted }: AbortSignal): boolean {
    return this.#isWanted && !aborted;
  }

  #pauseMs(): number {
    if (this.failure !== undefined) {
      const { clock } = this.#ports;
      // Half of it at least: there may be many pods that cannot be reached.
      return Math.max(500, delayMs(this.failure.count, undefined, (1 + clock.random()) / 2));
    }
    return Math.max(Math.min(firstMs * 2 ** this.#tries, this.#isSlow ? slowMs : maxMs), 2 * this.#tookMs);
  }

  async #pause(signal: AbortSignal): Promise<void> {
    while (!(await this.#sleep(signal)));
    this.#hurry = undefined;
    this.#tries += 1;
  }

  /** Returns whether the pause is over, and not to begin anew. */
  async #sleep(signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#ports;
    const ms = this.#pauseMs();
    const sooner = new AbortController();
    this.#hurry = () => sooner.abort();
    this.#dueMs = clock.elapsedMs() + ms;
    await clock.sleep(ms, AbortSignal.any([signal, sooner.signal])).catch(() => undefined);
    return !sooner.signal.aborted;
  }

  async #question(signal: AbortSignal): Promise<void> {
    const { ask, wanted, onAnswer, clock } = this.#ports;
    const names = wanted();
    const askedMs = clock.elapsedMs();
    this.#askingSinceMs = askedMs;
    try {
      this.answer = { page: await ask(this.pod, names, signal), wanted: names, askedMs };
      this.failure = undefined;
      this.#tookMs = clock.elapsedMs() - askedMs;
    } catch (error) {
      if (signal.aborted) return;
      const { count = 0, since = clock.now() } = this.failure ?? {};
      this.failure = { error, count: count + 1, since };
    } finally {
      this.#askingSinceMs = undefined;
    }
    onAnswer();
  }
}
