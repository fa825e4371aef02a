import { type Clock, sleepUntil } from "../../../../src/mesh/adapter.ts";
import type { Authority, Issued } from "../../../../src/mesh/development/authority.ts";
import { renewalTimeOf } from "../../../../src/mesh/renewal.ts";
import { Indexed } from "./indexed.ts";

interface LeavesOptions {
  readonly authority: Authority;
  readonly clock: Clock;
  readonly datacenter: string;
  /** The longest that a leaf waits for its successor after a change of roots, in milliseconds. */
  readonly rootChangeJitterMs: number;
  readonly nextIndex: () => bigint;
}

/**
 * The leaves that an agent keeps, one a service from when it is first asked for: renewed, as Consul does it, at a
 * random point between 60 and 90 % of the life, and a random time after the roots change.
 */
export class Leaves implements AsyncDisposable {
  readonly #options: LeavesOptions;
  readonly #kept = new Map<string, Promise<Kept>>();
  readonly #disposed = new AbortController();
  #issued = 0;

  constructor(options: LeavesOptions) {
    this.#options = options;
  }

  /** How many leaves were issued. */
  get issued(): number {
    return this.#issued;
  }

  async of(service: string): Promise<Indexed<Issued>> {
    const known = this.#kept.get(service);
    const kept = known ?? this.#begin(service);
    this.#kept.set(service, kept);
    return (await kept).leaf;
  }

  /** Gives new leaves at once; to a service that has none yet, its first. */
  async renew(service?: string): Promise<void> {
    if (service !== undefined && !this.#kept.has(service)) {
      await this.of(service);
      return;
    }
    const now = this.#options.clock.now();
    for (const [name, kept] of this.#kept) {
      if (service === undefined || service === name) (await kept).renewBy(now);
    }
  }

  /** To be called when another root signs. */
  async rootsChanged(): Promise<void> {
    const { clock, rootChangeJitterMs } = this.#options;
    for (const kept of await Promise.all(this.#kept.values())) {
      const { notBefore, notAfter } = kept.leaf.value.chain[0];
      const lifeMs = notAfter.getTime() - notBefore.getTime();
      const jitterMs = clock.random() * Math.min(rootChangeJitterMs, lifeMs / 10);
      kept.renewBy(new Date(clock.now().getTime() + jitterMs));
    }
  }

  /** Restarts all indexes. */
  async reindex(): Promise<void> {
    for (const { leaf } of await Promise.all(this.#kept.values())) {
      leaf.set(leaf.value, this.#options.nextIndex());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort();
    for (const { end } of await Promise.all(this.#kept.values())) await end;
  }

  async #begin(service: string): Promise<Kept> {
    const { clock, nextIndex } = this.#options;
    const first = await this.#issue(service);
    const leaf = new Indexed(first, nextIndex());
    let renewAt = renewalTimeOf(first.chain[0], first.chain[0].notBefore);
    let woken = new AbortController();

    const isOver = () => this.#disposed.signal.aborted;

    const keep = async (): Promise<void> => {
      while (!isOver()) {
        woken = new AbortController();
        const signal = AbortSignal.any([woken.signal, this.#disposed.signal]);
        await sleepUntil(renewAt, clock, signal).catch(() => undefined);
        if (isOver() || clock.now() < renewAt) continue;
        // A client that asks for another while this one is made gets one that is made after its request.
        renewAt = never;
        const issued = await this.#issue(service);
        renewAt = earlier(renewAt, renewalTimeOf(issued.chain[0], issued.chain[0].notBefore));
        leaf.set(issued, nextIndex());
      }
    };

    return {
      leaf,
      renewBy(date) {
        renewAt = earlier(renewAt, date);
        woken.abort();
      },
      end: keep(),
    };
  }

  #issue(service: string): Promise<Issued> {
    const { authority, datacenter } = this.#options;
    this.#issued += 1;
    return authority.issue({
      uri: `spiffe://${authority.trustDomain}/ns/default/dc/${datacenter}/svc/${service}`,
    });
  }
}

interface Kept {
  readonly leaf: Indexed<Issued>;
  readonly renewBy: (date: Date) => void;
  readonly end: Promise<void>;
}

const never = new Date(8.64e15);

function earlier(one: Date, other: Date): Date {
  return one < other ? one : other;
}
