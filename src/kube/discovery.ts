import type { Clock } from "../runtime/clock.ts";
import { TimerQueue } from "../runtime/timer-queue.ts";
import { hasStatus } from "./api-error.ts";
import type { KubeClient } from "./client.ts";
import { apiVersionOf, type Resource } from "./resources.ts";

/**
 * How often to ask while a kind is absent: once for all kinds of a group and all who wait for them. In
 * milliseconds.
 */
const askMs = 1_000;

/**
 * Resolves once the API server begins to serve a kind, after at least a second, so that a server that lists
 * it too early is not asked without end. May never resolve: a caller has a back-off of its own. Rejects with
 * the signal's reason.
 *
 * It reads the list of kinds of the group, which every authenticated client may (`system:discovery`). A watch
 * of CRDs would be no faster than a second by much, and needs a permission in the whole cluster.
 */
export async function untilServed(
  resource: Resource,
  { api, clock }: { readonly api: KubeClient; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  const discovery = discoveries.get(api) ?? new Discovery(api, clock);
  discoveries.set(api, discovery);
  await discovery.untilServed(resource, signal);
}

const discoveries = new WeakMap<KubeClient, Discovery>();

interface KindList {
  readonly resources: readonly { readonly name: string }[];
}

interface Waiting {
  readonly path: string;
  readonly plural: string;
  readonly resolve: () => void;
}

class Discovery {
  readonly #api: KubeClient;
  readonly #timers: TimerQueue<string>;
  readonly #waiting = new Set<Waiting>();
  /** The paths whose timer runs, or that are being asked. */
  readonly #polled = new Set<string>();

  constructor(api: KubeClient, clock: Clock) {
    this.#api = api;
    this.#timers = new TimerQueue(clock, (path) => void this.#ask(path));
  }

  async untilServed(resource: Resource, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const waiting = {
      path: `/apis/${apiVersionOf(resource)}`,
      plural: resource.plural,
      resolve: () => resolve(undefined),
    };
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    this.#waiting.add(waiting);
    this.#poll(waiting.path);
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", abort);
      this.#waiting.delete(waiting);
    }
  }

  #poll(path: string): void {
    if (this.#polled.has(path)) return;
    this.#polled.add(path);
    this.#timers.schedule(path, { afterMs: askMs });
  }

  async #ask(path: string): Promise<void> {
    const kinds = await this.#kindsAt(path);
    this.#polled.delete(path);
    for (const waiting of this.#waiting) {
      if (waiting.path !== path || kinds === undefined) continue;
      if (kinds.has(waiting.plural)) waiting.resolve();
      else this.#poll(path);
    }
  }

  /**
   * None where the API server does not know the group; `undefined` after a failure, which a poll would only
   * repeat.
   */
  async #kindsAt(path: string): Promise<ReadonlySet<string> | undefined> {
    try {
      const { resources } = await this.#api.request<KindList>({ method: "GET", path });
      return new Set(resources.map(({ name }) => name));
    } catch (error) {
      return hasStatus(error, 404) ? new Set() : undefined;
    }
  }
}
