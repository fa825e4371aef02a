import { Backoff, type BackoffOptions } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import { FairQueue } from "./fair-queue.ts";
import { TimerQueue } from "./timer-queue.ts";

/** When to work on a key again although nothing has happened: at the earlier of the two. */
export interface Requeue {
  readonly requeueAfterMs?: number | undefined;
  readonly requeueAt?: Date | undefined;
  /** What has failed beside the rest: treated as if it was thrown, but that the times above count as well. */
  readonly failure?: unknown;
}

export interface WorkerOptions<K> {
  /**
   * Brings what `key` stands for to where it should be, from whatever state it is in. The signal aborts when
   * the key is removed, or the worker stops. Whatever this throws is reported and tried again with back-off.
   */
  readonly reconcile: (key: K, signal: AbortSignal) => Promise<Requeue | undefined>;
  /** Called with each new failure of a key: with one that only repeats itself, once. */
  readonly onError: (key: K, error: unknown) => void;
  readonly clock: Clock;
  /** 1 by default. */
  readonly maxConcurrentReconciles?: number;
  /** Groups take turns, see {@link FairQueue}. All keys are one group by default. */
  readonly groupOf?: (key: K) => string;
  readonly backoff?: BackoffOptions;
  readonly observer?: WorkerObserver;
}

/** What metrics are made of. */
export interface WorkerObserver {
  /** A reconcile has ended: as it should, with a time at which to come again, or by throwing. */
  reconciled(result: "success" | "requeue" | "error", durationMs: number): void;
}

/**
 * A work queue: says when to work on which key, and never lets one be forgotten.
 *
 * However often a key is enqueued, it waits once, and one reconcile at a time works on it; one that is
 * enqueued meanwhile is worked on again afterwards. Between reconciles nothing is kept of a key but its timer,
 * so that thousands of them are cheap.
 */
export class Worker<K> implements AsyncDisposable {
  readonly #options: WorkerOptions<K>;
  readonly #timers: TimerQueue<K>;
  readonly #waiting: FairQueue<K>;
  readonly #running = new Map<K, Run>();
  readonly #failing = new Map<K, Failure>();
  /** When each key began to wait, by `elapsedMs()`; the first one waits longest. */
  readonly #sinceMs = new Map<K, number>();
  #isStopped = false;

  constructor(options: WorkerOptions<K>) {
    this.#options = options;
    this.#waiting = new FairQueue(options.groupOf);
    this.#timers = new TimerQueue(options.clock, (key) => this.enqueue(key));
  }

  /** How many keys wait for their turn. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** For how long the key has waited that waits longest, in milliseconds; 0 if none waits. */
  get oldestMs(): number {
    const [sinceMs] = this.#sinceMs.values();
    return sinceMs === undefined ? 0 : this.#options.clock.elapsedMs() - sinceMs;
  }

  /** Works on `key` as soon as there is room, also if it waits out a failure. */
  enqueue(key: K): void {
    if (this.#isStopped) return;
    this.#timers.clear(key);
    this.#waiting.add(key);
    if (!this.#sinceMs.has(key)) this.#sinceMs.set(key, this.#options.clock.elapsedMs());
    this.#next();
  }

  /** Forgets `key`, and resolves once a reconcile of it that is under way has ended. */
  async remove(key: K): Promise<void> {
    this.#timers.clear(key);
    this.#waiting.delete(key);
    this.#sinceMs.delete(key);
    this.#failing.delete(key);
    const run = this.#running.get(key);
    run?.controller.abort(removed);
    await run?.done;
  }

  /** Takes nothing more, and resolves once all that is under way has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.#timers[Symbol.dispose]();
    this.#waiting.clear();
    this.#sinceMs.clear();
    await Promise.all(Array.from(this.#running.keys(), (key) => this.remove(key)));
  }

  #next(): void {
    const { maxConcurrentReconciles = 1 } = this.#options;
    while (this.#running.size < maxConcurrentReconciles) {
      const key = this.#waiting.take((one) => !this.#running.has(one));
      if (key === undefined) return;
      this.#sinceMs.delete(key);
      const controller = new AbortController();
      this.#running.set(key, { controller, done: this.#run(key, controller.signal) });
    }
  }

  async #run(key: K, signal: AbortSignal): Promise<void> {
    // What is enqueued in the same tick is one piece of work.
    await Promise.resolve();
    const { clock, observer } = this.#options;
    const beganMs = clock.elapsedMs();
    const { result, requeue } = signal.aborted ? nothing : await this.#reconcile(key, signal);
    this.#running.delete(key);
    if (!signal.aborted) {
      observer?.reconciled(result, clock.elapsedMs() - beganMs);
      const { requeueAfterMs: afterMs, requeueAt: at } = requeue;
      if (!this.#waiting.has(key)) this.#timers.schedule(key, { afterMs, at });
    }
    this.#next();
  }

  async #reconcile(key: K, signal: AbortSignal): Promise<Outcome> {
    try {
      const requeue = (await this.#options.reconcile(key, signal)) ?? {};
      if (requeue.failure !== undefined && !signal.aborted)
        return this.#failed(key, requeue.failure, requeue);
      this.#failing.delete(key);
      const isRequeue = requeue.requeueAfterMs !== undefined || requeue.requeueAt !== undefined;
      return { result: isRequeue ? "requeue" : "success", requeue };
    } catch (error) {
      // What a removal has led to is no failure.
      return signal.aborted ? nothing : this.#failed(key, error);
    }
  }

  #failed(key: K, error: unknown, { requeueAfterMs = Infinity, requeueAt }: Requeue = {}): Outcome {
    const { clock, backoff: options, onError } = this.#options;
    const before = this.#failing.get(key);
    const { backoff } = before ?? { backoff: new Backoff(clock, options) };
    this.#failing.set(key, { backoff, error });
    if (before === undefined || !isSameFailure(before.error, error)) onError(key, error);
    const backoffMs = backoff.failed(error);
    return { result: "error", requeue: { requeueAfterMs: Math.min(backoffMs, requeueAfterMs), requeueAt } };
  }
}

interface Run {
  readonly controller: AbortController;
  readonly done: Promise<void>;
}

interface Failure {
  readonly backoff: Backoff;
  readonly error: unknown;
}

interface Outcome {
  readonly result: "success" | "requeue" | "error";
  readonly requeue: Requeue;
}

const nothing: Outcome = { result: "success", requeue: {} };
const removed = new Error("it is not wanted any more");

/** An outage is one line in the log, however often it is met. */
function isSameFailure(one: unknown, other: unknown): boolean {
  return one instanceof Error && other instanceof Error ? one.message === other.message : one === other;
}
