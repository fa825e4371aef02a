import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import { ApiError, type ApiErrorCode, hasCode } from "./api-error.ts";
import type { HeldLease, Lease, LeaseClient } from "./lease.ts";

/** The time during which this process leads, and no other. */
export interface LeadershipTerm {
  /**
   * Aborts as soon as the lease may be lost, before others can take it, and when leading is no longer wanted.
   */
  readonly signal: AbortSignal;
  /**
   * Whether this process holds the lease at this moment. By the clock: also right in a process that was
   * stopped and goes on. To be asked before anything that only the leader may do.
   */
  readonly isCurrent: boolean;
}

interface TermOptions {
  readonly client: LeaseClient;
  readonly holder: string;
  /** How long after it was sent a renewal counts. */
  readonly termMs: number;
  readonly renewMs: number;
  readonly retryMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly failed: (error: unknown) => void;
  readonly renewed: () => void;
  readonly lost: () => void;
}

/** Another client wrote to the lease, or deleted it: read it at once. */
const changed: ReadonlySet<ApiErrorCode> = new Set([
  "ATTACHE_KUBERNETES_CONFLICT",
  "ATTACHE_KUBERNETES_NOT_FOUND",
]);

/** Renews the lease until {@link end}, or until it is lost. */
export class RunningTerm implements LeadershipTerm {
  readonly #options: TermOptions;
  readonly #over = new AbortController();
  readonly #ending = new AbortController();
  readonly #renewing: Promise<void>;
  readonly #unlink: () => void;
  /** `undefined`: another client wrote to it, so that it must be read again. */
  #lease: Lease | undefined;
  #endsAtMs: number;
  #isLost = false;

  constructor({ lease, sentAtMs }: HeldLease, options: TermOptions, outer: AbortSignal) {
    this.#options = options;
    this.#lease = lease;
    this.#endsAtMs = sentAtMs + options.termMs;
    const abort = () => this.#over.abort(outer.reason);
    if (outer.aborted) abort();
    outer.addEventListener("abort", abort, { once: true });
    this.#unlink = () => outer.removeEventListener("abort", abort);
    this.#renewing = this.#renew(this.#ending.signal).catch(() => undefined);
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  get isCurrent(): boolean {
    return this.#holds();
  }

  /**
   * Ends the renewals, and releases the lease if this process still holds it, so that others need not wait.
   */
  async end(): Promise<void> {
    this.#ending.abort(new Error("the term has ended"));
    await this.#renewing;
    this.#unlink();
    const { logger } = this.#options;
    if (!this.#holds()) return;
    this.#isLost = true;
    try {
      if (await this.#release(this.#lease)) logger.log("LeaseReleased");
    } catch (error) {
      logger.log("LeaseNotReleased", { err: error });
    }
  }

  /** Reads it again after another client wrote to it, e.g. a replica that has started. @returns whether it was held. */
  async #release(last: Lease | undefined): Promise<boolean> {
    const { client, holder } = this.#options;
    const { signal } = new AbortController();
    const lease = last ?? (await client.read(signal));
    if (lease?.spec?.holderIdentity !== holder) return false;
    try {
      await client.release(lease, signal);
      return true;
    } catch (error) {
      if (last === undefined || !hasCode(error, "ATTACHE_KUBERNETES_CONFLICT")) throw error;
      return this.#release(undefined);
    }
  }

  #holds(): boolean {
    if (!this.#isLost && this.#leftMs <= 0) this.#lose("it could not be renewed in time");
    return !this.#isLost;
  }

  get #leftMs(): number {
    return this.#endsAtMs - this.#options.clock.elapsedMs();
  }

  /** Rejects with the signal's reason when the term ends. */
  async #renew(signal: AbortSignal): Promise<void> {
    const { clock, renewMs } = this.#options;
    let pauseMs = renewMs;
    while (this.#holds()) {
      await clock.sleep(Math.min(pauseMs, this.#leftMs), signal);
      if (this.#holds()) pauseMs = await this.#renewOnce(signal);
    }
  }

  /** Resolves to how long to wait before the next time. */
  async #renewOnce(signal: AbortSignal): Promise<number> {
    const { client, holder, termMs, renewMs, retryMs, failed, renewed } = this.#options;
    try {
      const last = this.#lease ?? (await client.read(signal));
      if (last?.spec?.holderIdentity !== holder) {
        this.#lose(
          last === undefined ? "it was deleted" : `${last.spec?.holderIdentity ?? "no replica"} holds it`,
        );
        return 0;
      }
      const { lease, sentAtMs } = await client.acquireOrRenew(last, signal);
      this.#lease = lease;
      this.#endsAtMs = sentAtMs + termMs;
      renewed();
      return renewMs;
    } catch (error) {
      signal.throwIfAborted();
      // Also after an answer that was lost: the lease may have been renewed all the same.
      this.#lease = undefined;
      if (error instanceof ApiError && changed.has(error.code)) return 0;
      failed(error);
      return retryMs;
    }
  }

  #lose(why: string): void {
    this.#isLost = true;
    this.#options.logger.log("LeadershipLost", { reason: why });
    this.#options.lost();
    this.#over.abort(new ApiError("ATTACHE_KUBERNETES_DEPOSED", `this process no longer leads: ${why}`));
  }
}
