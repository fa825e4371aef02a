import { type Clock, systemClock } from "../runtime/clock.ts";
import { Backoff } from "../runtime/backoff.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { KubeClient } from "./client.ts";
import { ApiError, hasCode } from "./api-error.ts";
import { type HeldLease, type Lease, type LeaseAnnotations, LeaseClient, type LeaseSpec } from "./lease.ts";
import { type LeadershipTerm, RunningTerm } from "./term.ts";

export type { LeadershipTerm } from "./term.ts";

interface LeadershipOptions {
  readonly api: KubeClient;
  /** Of the Lease. */
  readonly name: string;
  /** Attaché's own by default. */
  readonly namespace?: string;
  /** Unique to this process, not to its host: two processes with the same name would both lead. */
  readonly holder: string;
  /** Whether a holder was an earlier process in this one's place, which has ended: its lease is taken at once. */
  readonly isPredecessor?: ((holder: string) => boolean) | undefined;
  /** Of the template that this replica was made from: a released lease is first offered to those of the newest one. */
  readonly revision?: string | undefined;
  /**
   * A replica that has seen no change of the lease for this long may take it; the same for all replicas. In
   * whole seconds, 15 s by default. All other times follow from it.
   */
  readonly durationMs?: number;
  /** What the leader notes on the Lease, with each renewal. */
  readonly annotations?: () => LeaseAnnotations;
  /** Called when the state has changed. */
  readonly changed?: (state: LeadershipState) => void;
  readonly logger: Logger;
  readonly clock?: Clock;
}

export interface LeadershipState {
  readonly isLeading: boolean;
  /** The replica that leads, as far as is known. */
  readonly holder?: string;
  /** Why the lease cannot be read or written now. */
  readonly error?: ApiError;
}

const usualDurationMs = 15_000;

function timesOf(durationMs: number) {
  return {
    durationMs,
    /**
     * A leader counts its lease for this long after it has sent a renewal: what it has begun then has the
     * rest to end.
     */
    termMs: (durationMs * 2) / 3,
    renewMs: durationMs / 5,
    /**
     * Standby replicas read the lease after between half of this and this: that soon they find a released
     * one.
     */
    retryMs: Math.min(1_000, durationMs / 5),
    /** A replica of a former revision leaves a released lease to newer ones for this long. */
    courtesyMs: 2 * Math.min(1_000, durationMs / 5),
    /** So that a request that hangs leaves time for another one. */
    requestMs: durationMs / 5,
  };
}

/** A longer duration of another holder is respected up to this. */
const longestDurationMs = 60_000;

/**
 * Yields each term during which this process leads the replicas that use the same Lease; ends when `signal`
 * aborts. A term lasts until its signal aborts, or until the consumer asks for the next one: the lease is
 * then released, and others may lead.
 *
 * Whether the lease of another replica has run out is judged by how long it has not changed while it was
 * watched, so that clocks need not agree.
 */
export async function* leadership(
  options: LeadershipOptions,
  signal: AbortSignal,
): AsyncGenerator<LeadershipTerm, undefined> {
  const elector = new LeaderElector(options);
  for (;;) {
    const held = await elector.acquire(signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      return undefined;
    });
    if (held === undefined) return;
    const term = elector.begin(held, signal);
    try {
      yield term;
    } finally {
      await term.end();
      elector.ended();
    }
  }
}

class LeaderElector {
  readonly #options: LeadershipOptions;
  readonly #clock: Clock;
  readonly #times: ReturnType<typeof timesOf>;
  readonly #client: LeaseClient;
  readonly #backoff: Backoff;
  #state: LeadershipState = { isLeading: false };
  /** What the lease said when it was last seen to change, and when that was. */
  #seen: { readonly text: string; readonly atMs: number } | undefined;
  /** The leader when this replica made its revision the newest, or an empty text if it was; `undefined`: not yet. */
  #replaces: string | undefined;

  constructor(options: LeadershipOptions) {
    const { api, name, namespace = api.namespace, holder, revision, annotations } = options;
    const { clock = systemClock } = options;
    this.#options = options;
    this.#clock = clock;
    this.#times = timesOf(options.durationMs ?? usualDurationMs);
    const { durationMs, requestMs, retryMs } = this.#times;
    this.#client = new LeaseClient({
      ...{ api, name, namespace, holder, revision, durationMs, requestMs, annotations, clock },
    });
    this.#backoff = new Backoff(clock, { baseMs: retryMs, capMs: 5_000 });
  }

  /** Resolves when this process holds the lease; rejects with the signal's reason. */
  async acquire(signal: AbortSignal): Promise<HeldLease> {
    for (;;) {
      let waitMs = (this.#times.retryMs * (1 + this.#clock.random())) / 2;
      try {
        const lease = await this.#client.read(signal);
        const leftMs = this.#leftMs(lease);
        this.#succeeded(lease?.spec?.holderIdentity);
        if (leftMs <= 0) return await this.#client.acquireOrRenew(lease, signal);
        // The leader is of a former revision, and will soon be stopped.
        if (await this.#replacesLeader(lease, signal)) waitMs /= 2;
        waitMs = Math.min(waitMs, leftMs);
      } catch (error) {
        signal.throwIfAborted();
        // Otherwise another replica was faster: read its lease.
        if (!isLostRace(error)) waitMs = this.failed(error);
      }
      await this.#clock.sleep(waitMs, signal);
    }
  }

  async #replacesLeader(lease: Lease | undefined, signal: AbortSignal): Promise<boolean> {
    if (lease === undefined) return false;
    const { holderIdentity = "" } = lease.spec ?? {};
    this.#replaces ??= (await this.#client.announce(lease, signal)) ? holderIdentity : "";
    return holderIdentity !== "" && holderIdentity === this.#replaces;
  }

  begin(held: HeldLease, signal: AbortSignal): RunningTerm {
    const { holder, logger } = this.#options;
    logger.log("Leading");
    this.#succeeded(holder);
    return new RunningTerm(
      held,
      {
        client: this.#client,
        holder,
        ...this.#times,
        clock: this.#clock,
        logger,
        failed: (error) => this.failed(error),
        renewed: () => this.#succeeded(holder),
        lost: () => this.ended(),
      },
      signal,
    );
  }

  ended(): void {
    this.#seen = undefined;
    this.#be({ isLeading: false });
  }

  /** How long the lease still belongs to another replica. */
  #leftMs(lease: Lease | undefined): number {
    const { holderIdentity = "", leaseDurationSeconds = 0 }: LeaseSpec = lease?.spec ?? {};
    const { holder, isPredecessor } = this.#options;
    const isReleased = holderIdentity === "";
    if (lease === undefined || holderIdentity === holder || isPredecessor?.(holderIdentity)) return 0;
    // One that has just started is the newest.
    if (isReleased && (this.#replaces === undefined || !this.#client.isOutdated(lease))) return 0;
    const text = JSON.stringify(lease.spec);
    const nowMs = this.#clock.elapsedMs();
    if (this.#seen?.text !== text) this.#seen = { text, atMs: nowMs };
    const lastsMs = Math.max(
      this.#times.durationMs,
      Math.min(leaseDurationSeconds * 1000, longestDurationMs),
    );
    return this.#seen.atMs + (isReleased ? this.#times.courtesyMs : lastsMs) - nowMs;
  }

  #succeeded(leader: string | undefined): void {
    this.#backoff.succeeded();
    const isLeading = leader === this.#options.holder;
    this.#be({ isLeading, ...(leader !== undefined && { holder: leader }) });
  }

  /** @returns how long to wait. */
  failed(error: unknown): number {
    const known = error instanceof ApiError ? error : undefined;
    if (known === undefined || known.code !== this.#state.error?.code) {
      this.#options.logger.log("LeaseUnavailable", { err: error });
    }
    this.#be({ ...this.#state, ...(known && { error: known }) });
    return this.#backoff.failed(error);
  }

  #be(state: LeadershipState): void {
    const { isLeading, holder, error } = this.#state;
    if (state.isLeading === isLeading && state.holder === holder && state.error === error) return;
    this.#state = state;
    const isNewLeader = state.holder !== undefined && state.holder !== holder && !state.isLeading;
    if (isNewLeader) this.#options.logger.log("StandingBy", { holder: state.holder });
    this.#options.changed?.(state);
  }
}

function isLostRace(error: unknown): boolean {
  return hasCode(error, "ATTACHE_KUBERNETES_CONFLICT", "ATTACHE_KUBERNETES_EXISTS");
}
