import { aborted } from "../runtime/abort.ts";
import type { LeadershipTerm } from "../kube/leader-election.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Store } from "../store/store.ts";
import type { QueueState } from "../telemetry/state.ts";
import type { Controller } from "./controller.ts";
import type { Reconciler } from "./reconciler.ts";

export type { LeadershipTerm } from "../kube/leader-election.ts";

/**
 * The terms of this replica, one after the other. They end with `signal`, and then another replica may lead
 * at once.
 */
export type Terms = (signal: AbortSignal) => AsyncIterable<LeadershipTerm>;

/** The one term of a process that has the store to itself. */
export async function* alone(signal: AbortSignal): AsyncGenerator<LeadershipTerm> {
  yield await Promise.resolve({ signal, isCurrent: true });
}

interface LeaderElectedRunnerPorts {
  readonly terms: Terms;
  /** A new one for each term, which so begins with what is there. */
  readonly controller: () => Controller;
  /**
   * Read while another replica leads, so that nothing is left to learn at the change; absent where there is
   * no other.
   */
  readonly standby?: Store;
  /** Called at the begin of each term. */
  readonly onLead?: () => void;
  readonly clock: Clock;
}

/**
 * How long a leader that ends may take for what it is writing, before another one may lead; in milliseconds.
 */
const graceMs = 1_000;

/** One attaché among several on the same store, of which one works at a time. */
export class LeaderElectedRunner {
  readonly #ports: LeaderElectedRunnerPorts;
  readonly #resignation = new AbortController();
  #term: LeadershipTerm | undefined;
  #controller: Controller | undefined;
  #work: Promise<void> = Promise.resolve();
  #isRunning = false;
  #isSynced = false;

  constructor(ports: LeaderElectedRunnerPorts) {
    this.#ports = ports;
  }

  get isLeader(): boolean {
    return this.#term !== undefined;
  }

  /** Whether a write may be sent: to be asked before each, as a term can end between any two. */
  get mayWrite(): boolean {
    return this.#term?.isCurrent === true && !this.#resignation.signal.aborted;
  }

  /** Whether it works, or waits for its term. */
  get isRunning(): boolean {
    return this.#isRunning && (this.#controller?.isRunning ?? true);
  }

  /** Whether the store was read to its end, now or before. */
  get isSynced(): boolean {
    return this.#isSynced || (this.#controller?.isSynced ?? false);
  }

  get reconcilers(): readonly Reconciler[] {
    return this.#controller?.reconcilers ?? [];
  }

  /** The identities that wait for their turn. */
  get queue(): QueueState {
    return this.#controller?.queue ?? { depth: 0, oldestMs: 0 };
  }

  /** To be called when the connection to a mesh has changed. */
  wake(mesh: string): void {
    this.#controller?.wake(mesh);
  }

  /**
   * Works in each of its terms until `signal` aborts, and then until what is being written is complete.
   * @throws StoreError when the store cannot be followed any more.
   */
  async run(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const stopped = AbortSignal.any([signal, over.signal]);
    stopped.addEventListener("abort", () => void this.#resign(), { once: true });
    this.#isRunning = true;
    const parts = [this.#serve(stopped), this.#warm(stopped)];
    try {
      await Promise.all(parts);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#isRunning = false;
      over.abort();
      await Promise.allSettled([...parts, this.#work]);
    }
  }

  async #serve(signal: AbortSignal): Promise<void> {
    for await (const term of this.#ports.terms(this.#resignation.signal)) {
      this.#work = this.#lead(term, signal);
      await Promise.race([this.#work, aborted(this.#resignation.signal)]);
      if (signal.aborted) return;
    }
  }

  async #lead(term: LeadershipTerm, signal: AbortSignal): Promise<void> {
    const controller = this.#ports.controller();
    this.#term = term;
    this.#ports.onLead?.();
    this.#controller = controller;
    try {
      await controller.run(AbortSignal.any([signal, term.signal]));
    } finally {
      this.#isSynced ||= controller.isSynced;
      this.#term = undefined;
      this.#controller = undefined;
    }
  }

  async #warm(signal: AbortSignal): Promise<void> {
    const { standby } = this.#ports;
    if (standby === undefined) return;
    for await (const { type } of standby.watch(signal, true)) if (type === "synced") break;
    this.#isSynced = true;
  }

  /**
   * Resigns once the writes in flight are complete, or fail because they take too long: another replica
   * writes next.
   */
  async #resign(): Promise<void> {
    const over = new AbortController();
    await Promise.race([this.#work, this.#ports.clock.sleep(graceMs, over.signal)]).catch(() => undefined);
    over.abort();
    this.#resignation.abort(new Error("attaché ends"));
  }
}
