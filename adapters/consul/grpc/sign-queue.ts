import { Backoff, type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { retrying } from "../../../src/mesh/kit/retry.ts";

interface SignQueueOptions {
  readonly perSecond: number;
  readonly clock: Clock;
}

interface Task<T> {
  /** By when the result is needed: the earliest goes first. */
  readonly neededBy: Date;
  /** May run again if it throws that Consul asks for fewer requests. */
  readonly run: () => Promise<T>;
  readonly signal: AbortSignal;
}

/**
 * Consul itself holds a CSR back for half a second before it refuses it: at 50 a second that is as many. In
 * number.
 */
const atOnce = 25;

/** A sleep that ends late is made up for by so many CSRs close together. */
const burst = 5;

/** After so many signatures the rate is what it was before a pause, if nothing else happens. */
const recovery = 100;

/** A CSR that is refused this often in a row fails. */
const maxRefusals = 4;

/**
 * Sends what needs a signature one after the other, at no more than a rate. When Consul asks for fewer
 * requests, since others use its limit too, there is a pause, and the rate is halved, to come back bit by
 * bit.
 */
export class SignQueue implements Disposable {
  readonly #clock: Clock;
  readonly #fullRate: number;
  readonly #backoff: Backoff;
  readonly #disposed = new AbortController();
  /** By `neededBy`, the last first. */
  readonly #waiting: Entry[] = [];
  #rate: number;
  #running = 0;
  /** When the next may go, in milliseconds of the clock. */
  #nextAtMs = -Infinity;
  /**
   * Whether a timer will dispatch: that of the rate, or that of a pause, which nothing else may cut short.
   */
  #timer: "none" | "rate" | "pause" = "none";

  constructor({ perSecond, clock }: SignQueueOptions) {
    this.#clock = clock;
    this.#fullRate = perSecond;
    this.#rate = perSecond;
    this.#backoff = new Backoff(clock, { baseMs: 1000 });
  }

  /** Resolves with what the task gives. @throws what it throws; the signal's reason, while it waits. */
  add<T>({ neededBy, run, signal }: Task<T>): Promise<T> {
    let refusals = 0;
    return retrying(
      async () => {
        await this.#turn(neededBy, signal);
        try {
          const result = await run();
          this.#speedUp();
          return result;
        } catch (error) {
          if (isRefusal(error)) this.#slowDown(error);
          throw error;
        } finally {
          this.#running -= 1;
          this.#dispatch();
        }
      },
      (error) => {
        refusals += 1;
        if (!isRefusal(error) || refusals >= maxRefusals) throw error;
        return Promise.resolve();
      },
    );
  }

  /** Ends the timers; each waiting caller has its own signal. */
  [Symbol.dispose](): void {
    this.#disposed.abort();
  }

  /** Resolves when it is this one's turn, which then counts as running. */
  async #turn(neededBy: Date, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const entry = { neededByMs: neededBy.getTime(), start: () => resolve(undefined) };
    const abort = () => {
      const index = this.#waiting.indexOf(entry);
      if (index >= 0) this.#waiting.splice(index, 1);
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    this.#waiting.splice(this.#placeOf(entry), 0, entry);
    this.#dispatch();
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /**
   * Of several that are needed at the same time the earlier stays nearer to the end, from which they are
   * taken.
   */
  #placeOf({ neededByMs }: Entry): number {
    let [from, to] = [0, this.#waiting.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.#waiting[middle]?.neededByMs ?? 0) > neededByMs) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #dispatch(): void {
    const nowMs = this.#clock.elapsedMs();
    const gapMs = 1000 / this.#rate;
    while (this.#timer !== "pause" && this.#running < atOnce && this.#nextAtMs <= nowMs) {
      const next = this.#waiting.pop();
      if (next === undefined) return;
      this.#running += 1;
      this.#nextAtMs = Math.max(this.#nextAtMs, nowMs - (burst - 1) * gapMs) + gapMs;
      next.start();
    }
    const waitsForTime = this.#running < atOnce && this.#waiting.length > 0;
    if (waitsForTime && this.#timer === "none") this.#dispatchIn(this.#nextAtMs - nowMs, "rate");
  }

  #dispatchIn(ms: number, timer: "rate" | "pause"): void {
    this.#timer = timer;
    this.#clock.sleep(ms, this.#disposed.signal).then(
      () => {
        if (this.#timer !== timer) return;
        this.#timer = "none";
        this.#dispatch();
      },
      () => undefined,
    );
  }

  #speedUp(): void {
    this.#backoff.succeeded();
    this.#rate = Math.min(this.#fullRate, this.#rate + this.#fullRate / recovery);
  }

  /** Once a pause: those who were refused together have met the same limit. */
  #slowDown(error: MeshError): void {
    if (this.#timer === "pause") return;
    this.#rate = Math.max(1, this.#rate / 2);
    this.#dispatchIn(this.#backoff.failed(error), "pause");
  }
}

function isRefusal(error: unknown): error is MeshError {
  return MeshError.is(error) && error.code === "ATTACHE_MESH_RATE_LIMITED";
}

interface Entry {
  readonly neededByMs: number;
  readonly start: () => void;
}
