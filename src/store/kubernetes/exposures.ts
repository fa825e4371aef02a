import { type Consumer, consumerKey, type ConsumerName } from "../../emissary/consumer.ts";
import { type ContextFacts, type Exposure, exposuresOf } from "../../emissary/exposure.ts";
import type { TlsContext } from "../../emissary/tls-context.ts";
import type { Clock } from "../../runtime/clock.ts";
import { TimerQueue } from "../../runtime/timer-queue.ts";

export interface ExposuresPorts {
  /** `undefined` until all are listed. */
  readonly consumers: () => Iterable<Consumer> | undefined;
  readonly contexts: () => Iterable<TlsContext>;
  readonly facts: ContextFacts;
  /** Called for each exposure that begins or changes. */
  readonly onExposed: (exposure: Exposure) => void;
  /** Called with the name of each context for which the exposure of a consumer has changed. */
  readonly onChange: (context: string) => void;
  readonly clock: Clock;
}

/** What Envoy shows of consumers. */
export interface Observed {
  /** All that present no client certificate now. */
  readonly exposures: readonly Exposure[];
  /** By `consumerKey`, those that stay protected whatever the objects say: their Envoys take nothing new. */
  readonly kept: ReadonlySet<string>;
}

/** Collects changes that come together, as of an ingress that is being installed. */
const settleMs = 1_000;

/** Leaves expire without any event. */
const recheckMs = 30_000;

/** The exposed consumers of the cluster: the one place that confronts what the objects predict with what Envoy shows. */
export class Exposures implements Disposable {
  readonly #ports: ExposuresPorts;
  readonly #timers: TimerQueue<"check">;
  #current: ReadonlyMap<string, Exposure> = new Map();
  #observed: Observed = { exposures: [], kept: new Set() };

  constructor(ports: ExposuresPorts) {
    this.#ports = ports;
    this.#timers = new TimerQueue<"check">(ports.clock, () => this.#check());
    this.#checkIn(recheckMs);
  }

  get current(): readonly Exposure[] {
    return [...this.#current.values()];
  }

  of(consumer: ConsumerName): Exposure | undefined {
    return this.#current.get(consumerKey(consumer));
  }

  /** What Envoy shows, in place of what it showed before; it counts at once. */
  observe(observed: Observed): void {
    this.#observed = observed;
    this.#compare();
  }

  /** A consumer, a context or what is known of one has changed. */
  changed(): void {
    this.#checkIn(settleMs);
  }

  [Symbol.dispose](): void {
    this.#timers[Symbol.dispose]();
  }

  #checkIn(ms: number): void {
    this.#timers.hasten("check", ms);
  }

  #check(): void {
    this.#compare();
    this.#checkIn(recheckMs);
  }

  #compare(): void {
    const { consumers, contexts, facts, onExposed, onChange } = this.#ports;
    const all = consumers();
    if (all === undefined) return;
    const present = [...all];
    const before = this.#current;
    const { exposures: exposed, kept } = this.#observed;
    this.#current = new Map(
      exposuresOf(present, contexts(), facts, exposed, kept).map((one) => [consumerKey(one.consumer), one]),
    );
    const changed = new Set<string>();
    for (const [key, exposure] of this.#current) {
      const was = before.get(key);
      if (was?.message === exposure.message && was.severity === exposure.severity) continue;
      changed.add(exposure.consumer.context);
      onExposed(exposure);
    }
    const ended = new Set<string>();
    for (const [key, { consumer }] of before) {
      if (this.#current.get(key)?.consumer.context === consumer.context) continue;
      ended.add(key);
      changed.add(consumer.context);
    }
    // The context that it names now had its exposure, too.
    for (const consumer of ended.size > 0 ? present : [])
      if (ended.has(consumerKey(consumer))) changed.add(consumer.context);
    for (const context of changed) onChange(context);
  }
}
