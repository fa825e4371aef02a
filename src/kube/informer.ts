import { type Clock, systemClock } from "../runtime/clock.ts";
import { Backoff } from "../runtime/backoff.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Accept, KubeClient, Query, WatchEvent } from "./client.ts";
import { ApiError } from "./api-error.ts";
import { type Change, Collection } from "./collection.ts";
import { type ApiObject, keyOf } from "./object.ts";
import { HealthRecord, type InformerHealth } from "./informer-health.ts";
import { pages } from "./pages.ts";
import { pathOf, type Resource } from "./resources.ts";
import { listening } from "../runtime/silence.ts";

export type { Change } from "./collection.ts";
export type { InformerHealth } from "./informer-health.ts";

/** The objects of one kind as the API server has them, kept up to date by a list and a watch that never end. */
export interface Informer<T> extends AsyncDisposable {
  /** By `NAMESPACE/NAME`, see `keyOf()`. Stays as it was while the API server is away, and while it does not know the kind. */
  readonly items: ReadonlyMap<string, T>;
  /** Resolves when all that there is has been seen, or there is no such kind; rejects if the reflector is closed before. */
  readonly synced: Promise<void>;
  readonly health: InformerHealth;
}

export interface InformerOptions<T> {
  readonly api: KubeClient;
  readonly resource: Resource;
  /** None: all of them. */
  readonly namespace?: string | undefined;
  /** E.g. `attache.dev/installation=edge`. */
  readonly labelSelector?: string;
  /** E.g. `metadata.name=leaf`. */
  readonly fieldSelector?: string;
  readonly accept?: Accept;
  /** What is kept of an object; `undefined`: nothing, as if it did not exist. The object itself is then forgotten. */
  readonly reduce: (object: ApiObject) => T | undefined;
  /** Called in the order in which things happened, each time after `items` has changed. */
  readonly changed?: (change: Change<T>) => void;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** The API server is to end a watch after between this and twice this: watches spread anew over its replicas. */
const watchSeconds = 300;

/**
 * The API server sends a bookmark each minute, if nothing else has happened. Of a watch that is silent for this long to twice as long
 * it may be that nobody is there; of one that never said anything also that it waits for a version that will not come: etcd was restored
 * from a backup.
 */
const silenceMs = 150_000;

/** After between this and twice this all is listed again once a watch ends, against whatever nobody has thought of. */
const relistMs = 3_600_000;

/** For so long, or up to twice as long, an unknown kind is left alone. */
const absentMs = 15_000;

/** Begins to list and watch, and goes on until it is disposed of, whatever happens. */
export function startInformer<T>(options: InformerOptions<T>): Informer<T> {
  return new ListAndWatch(options);
}

class ListAndWatch<T> implements Informer<T> {
  readonly #options: InformerOptions<T>;
  readonly #clock: Clock;
  readonly #path: string;
  readonly #health: HealthRecord;
  readonly #collection: Collection<T>;
  readonly #backoff: Backoff;
  readonly #closing = new AbortController();
  readonly #synced = Promise.withResolvers<undefined>();
  readonly #running: Promise<void>;
  /** Where a watch goes on; `undefined`: all must be listed. */
  #version: string | undefined;
  #relistAtMs = Infinity;
  /** It is the default of Kubernetes 1.34 and later. */
  #canStream = true;

  constructor(options: InformerOptions<T>) {
    const { resource, namespace, clock = systemClock } = options;
    const what = `${resource.plural}${namespace === undefined ? "" : ` in namespace ${namespace}`}`;
    this.#options = options;
    this.#clock = clock;
    this.#path = pathOf(resource, { namespace });
    this.#health = new HealthRecord(what, options.logger);
    this.#collection = new Collection({
      reduce: options.reduce,
      changed: (change) => this.#guard(() => options.changed?.(change)),
    });
    this.#backoff = new Backoff(clock);
    // Whoever does not wait for it need not hear that it never came.
    this.#synced.promise.catch(() => undefined);
    this.#running = this.#run(this.#closing.signal);
  }

  get items(): ReadonlyMap<string, T> {
    return this.#collection.items;
  }

  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  get health(): InformerHealth {
    return this.#health.current;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new Error(`${this.health.what} are no longer watched`);
    this.#closing.abort(reason);
    this.#synced.reject(reason);
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await this.#round(signal);
      } catch (error) {
        if (signal.aborted) return;
        // It rejects only when the signal ends its pause; the next round then does so too.
        await this.#failed(error, signal).catch(() => undefined);
      }
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    if (this.#clock.now().getTime() >= this.#relistAtMs) this.#version = undefined;
    if (this.#version === undefined && !this.#canStream) await this.#listPages(signal);
    const lines = await this.#watch(signal);
    // Whatever ends a watch before its first line may go on to do so.
    if (lines === 0) await this.#backoff.pause(undefined, signal);
  }

  async #failed(error: unknown, signal: AbortSignal): Promise<void> {
    const code = error instanceof ApiError ? error.code : undefined;
    if (code === "ATTACHE_KUBERNETES_KIND_UNKNOWN") {
      this.#version = undefined;
      this.#health.absent(error);
      this.#complete();
      await this.#clock.sleep(absentMs * (1 + this.#clock.random()), signal);
      return;
    }
    if (code === "ATTACHE_KUBERNETES_INVALID" && this.#version === undefined && this.#canStream) {
      this.#canStream = false;
      return;
    }
    if (code === "ATTACHE_KUBERNETES_EXPIRED") this.#version = undefined;
    else this.#health.failing(error);
    await this.#backoff.pause(error, signal);
  }

  async #listPages(signal: AbortSignal): Promise<void> {
    this.#collection.listing();
    const request = { path: this.#path, query: this.#selectors, accept: this.#accept, signal };
    let version = "";
    for await (const { metadata, items } of pages(this.#options.api, request)) {
      for (const object of items) this.#put(object);
      version = metadata.resourceVersion;
    }
    this.#listed(version);
  }

  /** One watch, from `#version` on; without one it begins with all that there is. Resolves to the number of its lines. */
  async #watch(signal: AbortSignal): Promise<number> {
    const isList = this.#version === undefined;
    if (isList) this.#collection.listing();
    const silence = new ApiError("ATTACHE_KUBERNETES_TIMEOUT", `the watch of ${this.health.what} is silent`);
    using live = listening(silenceMs, silence, this.#clock, signal);
    const request = {
      path: this.#path,
      query: {
        ...this.#selectors,
        ...(isList
          ? { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan" }
          : { resourceVersion: this.#version }),
        allowWatchBookmarks: true,
        timeoutSeconds: Math.ceil(watchSeconds * (1 + this.#clock.random())),
      },
      accept: this.#accept,
      began: () => {
        if (!isList) this.#health.watching();
      },
    };
    let lines = 0;
    try {
      for await (const event of this.#options.api.watch<ApiObject>(request, live.signal)) {
        lines += 1;
        live.heard();
        this.#backoff.succeeded();
        this.#take(event);
      }
    } catch (error) {
      if (error !== silence) throw error;
      // There have been API servers whose streamed lists never came to their end.
      if (this.#version === undefined) this.#canStream = false;
      if (lines === 0) this.#version = undefined;
      if (this.#version === undefined) throw error;
    }
    return lines;
  }

  #take(event: WatchEvent<ApiObject>): void {
    const { object } = event;
    const { resourceVersion, annotations } = object.metadata;
    // In the middle of a list there is nothing to go on from.
    if (this.#version !== undefined) this.#version = resourceVersion;
    switch (event.type) {
      case "ADDED":
      case "MODIFIED":
        this.#put(object);
        break;
      case "DELETED":
        this.#collection.remove(keyOf(object.metadata));
        break;
      case "BOOKMARK":
        if (annotations?.["k8s.io/initial-events-end"] === "true") this.#listed(resourceVersion);
        break;
      default:
        event.type satisfies never;
    }
  }

  #listed(version: string): void {
    this.#collection.listed();
    this.#version = version;
    this.#relistAtMs = this.#clock.now().getTime() + relistMs * (1 + this.#clock.random());
    this.#health.watching();
    this.#complete();
  }

  #complete(): void {
    this.#health.synced();
    this.#synced.resolve(undefined);
  }

  #put(object: ApiObject): void {
    this.#guard(() => this.#collection.put(object));
  }

  /** What fails here would fail again with the same object, for ever. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.logger.error({ err: error }, `a change of ${this.health.what} was not understood`);
    }
  }

  get #selectors(): Query {
    const { labelSelector, fieldSelector } = this.#options;
    return { labelSelector, fieldSelector };
  }

  get #accept(): Accept {
    return this.#options.accept ?? "object";
  }
}
