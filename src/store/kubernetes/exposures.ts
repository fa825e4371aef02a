import type { Clock } from "../../runtime/clock.ts";
import type { Consumer } from "../../emissary/consumer.ts";
import { type ContextFacts, type Exposure, exposuresOf } from "../../emissary/exposure.ts";
import type { TlsContext } from "../../emissary/tls-context.ts";
import { Alarms } from "./alarms.ts";

export interface ExposuresPorts {
  /** Nothing as long as not everything is known. */
  readonly consumers: () => Iterable<Consumer> | undefined;
  readonly contexts: () => Iterable<TlsContext>;
  readonly facts: ContextFacts;
  /** Called for each exposure that begins, or becomes another one. */
  readonly onExposed: (exposure: Exposure) => void;
  /** Called with the name of each context of which somebody's exposure has changed. */
  readonly onChange: (context: string) => void;
  readonly clock: Clock;
}

export interface ConsumerName {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** Changes that come together, as of an ingress that is being installed, are looked at together. */
const settleMs = 1_000;

/** Time alone changes something, too: a leaf expires. */
const lookAgainMs = 30_000;

/** Who is exposed in the cluster, looked at again a moment after something has changed. */
export class Exposures implements Disposable {
  readonly #ports: ExposuresPorts;
  readonly #alarms: Alarms<"look">;
  #current: ReadonlyMap<string, Exposure> = new Map();

  constructor(ports: ExposuresPorts) {
    this.#ports = ports;
    this.#alarms = new Alarms(ports.clock, () => this.#look());
    this.#lookIn(lookAgainMs);
  }

  get current(): readonly Exposure[] {
    return [...this.#current.values()];
  }

  /** That of one consumer. */
  of(consumer: ConsumerName): Exposure | undefined {
    return this.#current.get(keyOf(consumer));
  }

  /** Says that a consumer, a context or what is known of one has changed. */
  changed(): void {
    this.#lookIn(settleMs);
  }

  [Symbol.dispose](): void {
    this.#alarms[Symbol.dispose]();
  }

  #lookIn(ms: number): void {
    this.#alarms.set("look", new Date(this.#ports.clock.now().getTime() + ms));
  }

  #look(): void {
    this.#compare();
    this.#lookIn(lookAgainMs);
  }

  #compare(): void {
    const { consumers, contexts, facts, onExposed, onChange } = this.#ports;
    const all = consumers();
    if (all === undefined) return;
    const before = this.#current;
    this.#current = new Map(exposuresOf(all, contexts(), facts).map((one) => [keyOf(one.consumer), one]));
    const changed = new Set<string>();
    for (const [key, exposure] of this.#current) {
      const was = before.get(key);
      if (was?.message === exposure.message && was.grade === exposure.grade) continue;
      changed.add(exposure.consumer.context);
      onExposed(exposure);
    }
    for (const [key, { consumer }] of before) if (!this.#current.has(key)) changed.add(consumer.context);
    for (const context of changed) onChange(context);
  }
}

function keyOf({ kind, namespace, name }: ConsumerName): string {
  return `${kind}/${namespace}/${name}`;
}
