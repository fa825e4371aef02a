import { Backoff } from "../runtime/backoff.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { idleTimeout } from "../runtime/timeout.ts";
import type { Logger } from "../telemetry/logger.ts";
import { ApiError, malformed } from "./api-error.ts";
import type { Accept, KubeClient, Query, WatchEvent } from "./client.ts";
import { type Change, Collection } from "./collection.ts";
import { type InformerHealth, isTransition, type Outcome, transition } from "./informer-state.ts";
import { type ApiObject, keyOf } from "./object.ts";
import { untilServed } from "./discovery.ts";
import { pages } from "./pages.ts";
import { pathOf, type Resource } from "./resources.ts";

export type { Change } from "./collection.ts";
export type { InformerHealth } from "./informer-state.ts";

/**
 * The objects of one kind as the API server has them, kept up to date by a list and a watch until disposed
 * of.
 */
export interface Informer<T> extends AsyncDisposable {
  /**
   * By `NAMESPACE/NAME`, see `keyOf()`. Stays as it was while the informer fails, and while the kind is
   * absent.
   */
  readonly items: ReadonlyMap<string, T>;
  /** Resolves when all objects were seen, or the kind is absent; rejects if the informer is closed before. */
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
  /**
   * What is kept of an object; `undefined`: nothing, as if it did not exist. A pure function: its result
   * depends on the object alone. The object itself is then forgotten. It is not called for a version that was
   * seen.
   */
  readonly reduce: (object: ApiObject) => T | undefined | Promise<T | undefined>;
  /**
   * Called after `items` has changed, in the order of the events. An object that reduces to an equal value is
   * no change.
   */
  readonly changed?: (change: Change<T>) => void;
  /** Called for each object that was added, modified or deleted, whatever is kept of it, before `changed`. */
  readonly observed?: () => void;
  /** Called at each transition of `health`, after the changes that led to it. */
  readonly transitioned?: (health: InformerHealth) => void;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** The API server ends a watch after between this and twice this: watches spread over its replicas again. */
const watchSeconds = 300;

/**
 * The API server sends a bookmark each minute, if nothing else has happened. A watch that is silent for this
 * long to twice as long may have lost its server; one that never said anything may also wait for a version
 * that will not come: etcd was restored from a backup.
 */
const silenceMs = 150_000;

/**
 * After between this and twice this all is listed again once a watch ends, to correct what a fault of either
 * side has lost.
 */
const relistMs = 3_600_000;

/** Begins to list and watch, and goes on until it is disposed of, whatever happens. */
export function startInformer<T>(options: InformerOptions<T>): Informer<T> {
  return new ListAndWatch(options);
}

const kindServed = new Error("the kind is served");

class ListAndWatch<T> implements Informer<T> {
  readonly #options: InformerOptions<T>;
  readonly #clock: Clock;
  readonly #path: string;
  readonly #collection: Collection<T>;
  readonly #backoff: Backoff;
  readonly #closing = new AbortController();
  readonly #synced = Promise.withResolvers<undefined>();
  readonly #running: Promise<void>;
  #health: InformerHealth;
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
    this.#health = { what, state: "listing", isSynced: false, sinceMs: clock.elapsedMs() };
    this.#collection = new Collection({
      reduce: options.reduce,
      observed: () => this.#guard(() => options.observed?.()),
      changed: (change) => this.#guard(() => options.changed?.(change)),
    });
    this.#backoff = new Backoff(clock);
    // A caller that does not wait for it need not handle its rejection.
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
    return this.#health;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new Error(`${this.#health.what} are no longer watched`);
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
        // It rejects only when a signal ends its pause. If the outer one did, the next round does so too.
        await this.#failed(error, signal).catch(() => undefined);
      }
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    if (this.#clock.elapsedMs() >= this.#relistAtMs) this.#version = undefined;
    if (this.#version === undefined && !this.#canStream) await this.#listPages(signal);
    const from = this.#version;
    await this.#watch(signal);
    if (this.#version === undefined) throw malformed(`the list of ${this.#health.what} is cut`);
    // A watch that ended without news may end so again at once.
    if (this.#version === from) await this.#backoff.pause(undefined, signal);
  }

  async #failed(error: unknown, signal: AbortSignal): Promise<void> {
    const code = error instanceof ApiError ? error.code : undefined;
    const isList = this.#version === undefined;
    if (code === "ATTACHE_KUBERNETES_INVALID" && isList && this.#canStream) {
      this.#canStream = false;
      return;
    }
    const isExpired = code === "ATTACHE_KUBERNETES_EXPIRED";
    if (isExpired || code === "ATTACHE_KUBERNETES_KIND_UNKNOWN") this.#version = undefined;
    if (isList || !isExpired) this.#become({ error });
    using early = this.#kindServed(signal);
    await this.#backoff.pause(error, early.signal);
  }

  /** Aborts with `outer`, and as soon as the API server serves a kind that is absent now. */
  #kindServed(outer: AbortSignal): Disposable & { readonly signal: AbortSignal } {
    const served = new AbortController();
    const signal = AbortSignal.any([outer, served.signal]);
    const end = () => served.abort(kindServed);
    const { api, resource } = this.#options;
    if (this.#health.state === "absent")
      untilServed(resource, { api, clock: this.#clock }, signal).then(end, () => undefined);
    return { signal, [Symbol.dispose]: end };
  }

  async #listPages(signal: AbortSignal): Promise<void> {
    this.#collection.listing();
    const request = { path: this.#path, query: this.#selectors, accept: this.#accept, signal };
    let version = "";
    for await (const { metadata, items } of pages(this.#options.api, request)) {
      for (const object of items) {
        const pending = this.#put(object);
        if (pending !== undefined) await pending;
      }
      version = metadata.resourceVersion;
    }
    this.#listed(version);
  }

  /** One watch, from `#version` on; without one it begins with all objects that there are. */
  async #watch(signal: AbortSignal): Promise<void> {
    const isList = this.#version === undefined;
    if (isList) this.#collection.listing();
    const silence = new ApiError("ATTACHE_KUBERNETES_TIMEOUT", `the watch of ${this.#health.what} is silent`);
    using live = idleTimeout(silenceMs, () => silence, this.#clock, signal);
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
        if (!isList) this.#become("synced");
      },
    };
    let isSilent = true;
    try {
      for await (const event of this.#options.api.watch<ApiObject>(request, live.signal)) {
        isSilent = false;
        live.reset();
        const pending = this.#take(event);
        if (pending !== undefined) await pending;
      }
    } catch (error) {
      if (error !== silence) throw error;
      // There have been API servers whose streamed lists never came to their end.
      if (this.#version === undefined) this.#canStream = false;
      if (isSilent) this.#version = undefined;
      if (this.#version === undefined) throw error;
    }
  }

  #take(event: WatchEvent<ApiObject>): Promise<void> | undefined {
    const { object } = event;
    const { resourceVersion, annotations } = object.metadata;
    // In the middle of a list there is nothing to go on from.
    if (this.#version !== undefined) this.#advance(resourceVersion);
    switch (event.type) {
      case "ADDED":
      case "MODIFIED":
        return this.#put(object);
      case "DELETED":
        this.#collection.remove(keyOf(object.metadata));
        break;
      case "BOOKMARK":
        if (annotations?.["k8s.io/initial-events-end"] === "true") this.#listed(resourceVersion);
        break;
      default:
        event.type satisfies never;
    }
    return undefined;
  }

  /**
   * Only news after a whole list reset the back-off: an accepted watch or a whole list may be cut at once,
   * again and again.
   */
  #advance(version: string): void {
    if (version === this.#version) return;
    this.#version = version;
    this.#backoff.succeeded();
  }

  #listed(version: string): void {
    this.#collection.listed();
    this.#version = version;
    this.#relistAtMs = this.#clock.elapsedMs() + relistMs * (1 + this.#clock.random());
    this.#become("synced");
  }

  #become(outcome: Outcome): void {
    const before = this.#health;
    const after = transition(before, outcome, this.#clock.elapsedMs());
    this.#health = after;
    this.#log(before, after, outcome);
    if (after.isSynced) this.#synced.resolve(undefined);
    if (isTransition(before, after)) this.#guard(() => this.#options.transitioned?.(after));
  }

  /** Each transition once, not each failure; but each bug. */
  #log(before: InformerHealth, after: InformerHealth, outcome: Outcome): void {
    const { logger } = this.#options;
    const { what, state, error } = after;
    if (state === "failing" && error === undefined)
      logger.log("Bug", {
        what: `watching ${what}`,
        err: outcome === "synced" ? undefined : outcome.error,
      });
    else if (!isTransition(before, after)) return;
    else if (state === "failing") logger.log("WatchFailed", { what, err: error });
    else if (state === "absent") logger.log("KindUnknown", { what });
    else if (before.state !== "listing") logger.log("WatchRestored", { what });
  }

  #put(object: ApiObject): Promise<void> | undefined {
    const pending = this.#guard(() => this.#collection.put(object));
    return pending?.catch((error: unknown) => this.#unprocessed(error));
  }

  /** A failure here would come again with the same object. */
  #guard<R>(work: () => R): R | undefined {
    try {
      return work();
    } catch (error) {
      this.#unprocessed(error);
      return undefined;
    }
  }

  #unprocessed(error: unknown): void {
    this.#options.logger.log("Bug", {
      what: `a change of ${this.#health.what} was not processed`,
      err: error,
    });
  }

  get #selectors(): Query {
    const { labelSelector, fieldSelector } = this.#options;
    return { labelSelector, fieldSelector };
  }

  get #accept(): Accept {
    return this.#options.accept ?? "object";
  }
}
