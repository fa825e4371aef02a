import {
  type Consumer,
  type ConsumerKind,
  consumerKinds,
  consumerOf,
  type ContextName,
  type HostName,
  hostNameOf,
  type MappingChange,
  snapshotMs,
  usersOf,
} from "../../emissary/consumer.ts";
import { overlap } from "../../emissary/fields.ts";
import { hasCode } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { type Informer, startInformer } from "../../kube/informer.ts";
import { pages } from "../../kube/pages.ts";
import { pathOf, type Resource, resources } from "../../kube/resources.ts";
import type { Clock } from "../../runtime/clock.ts";
import { allOf } from "../../runtime/semaphore.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { ContextUses } from "../context-uses.ts";
import type { Use } from "../store.ts";
import { placesOf } from "./informers.ts";

export interface ConsumersOptions {
  readonly api: KubeClient;
  /** None: all. */
  readonly namespaces: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

export const consumerResources: Readonly<Record<ConsumerKind, Resource>> = {
  Mapping: resources.mappings,
  TCPMapping: resources.tcpMappings,
  AuthService: resources.authServices,
  RateLimitService: resources.rateLimitServices,
  Host: resources.hosts,
};

/** What is kept of an object: that it names a context, and of a Host its own name. */
interface Kept {
  readonly consumer: Consumer | undefined;
  readonly host: HostName | undefined;
}

/** Who names TLSContexts in the cluster: watched from the start, and reduced to that on arrival. */
export class Consumers implements ContextUses, AsyncDisposable {
  readonly #reflectors: readonly Informer<Kept>[];
  readonly #look: FreshLook<readonly Consumer[]>;
  readonly #listeners = new Set<(context: string | undefined) => void>();
  readonly #byContext = new Map<string, Set<Consumer>>();
  readonly #hosts = new Set<HostName>();
  #mappings: MappingChange | undefined;

  constructor({ api, namespaces, clock, logger }: ConsumersOptions) {
    const sources = consumerKinds.flatMap((kind) =>
      placesOf(namespaces).map((namespace) => ({ kind, namespace, resource: consumerResources[kind] })),
    );
    this.#look = new FreshLook(async () =>
      (await allOf(sources.map((source) => consumersIn(api, source)))).flat(),
    );
    this.#reflectors = sources.map(({ kind, namespace, resource }) =>
      startInformer<Kept>({
        ...{ api, clock, logger, namespace, resource },
        reduce: (object) => keptOf(kind, object),
        // Also a Mapping that names no context.
        observed: () => {
          if (isMapping(kind) && this.isSynced) this.#mappingChanged(clock.elapsedMs());
        },
        changed: ({ before, after }) => this.#changed(before, after),
      }),
    );
    void Promise.all(this.#reflectors.map(({ synced }) => synced)).then(
      () => this.#tell(undefined),
      () => undefined,
    );
  }

  all(): Iterable<Consumer> | undefined {
    return this.isSynced ? this.#byContext.values().flatMap((consumers) => consumers) : undefined;
  }

  get mappings(): MappingChange | undefined {
    return this.#mappings;
  }

  get isSynced(): boolean {
    return this.#reflectors.every(({ health }) => health.isSynced);
  }

  usesOf(context: ContextName): readonly Use[] | undefined {
    if (!this.isSynced) return undefined;
    const consumers = this.#byContext.get(context.name) ?? [];
    return usersOf(context, consumers).map(({ kind, namespace, name }) => ({ kind, namespace, name }));
  }

  async isUsed(context: ContextName): Promise<boolean> {
    return usersOf(context, await this.#look.now()).length > 0;
  }

  hasHost(name: string, ambassadorIds: readonly string[]): boolean {
    return this.#hosts
      .values()
      .some((host) => host.name === name && overlap(host.ambassadorIds, ambassadorIds));
  }

  onChange(listener: (context: string | undefined) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector[Symbol.asyncDispose]()));
  }

  #mappingChanged(changedMs: number): void {
    const { takenMs = -Infinity } = this.#mappings ?? {};
    this.#mappings = { changedMs, takenMs: snapshotMs(takenMs, changedMs) };
  }

  #changed(before: Kept | undefined, after: Kept | undefined): void {
    if (before?.host) this.#hosts.delete(before.host);
    if (after?.host) this.#hosts.add(after.host);
    const [was, is] = [before?.consumer, after?.consumer];
    if (was) this.#leave(was);
    if (is) this.#join(is);
    for (const context of new Set([was?.context, is?.context]))
      if (context !== undefined) this.#tell(context);
  }

  #join(consumer: Consumer): void {
    const others = this.#byContext.get(consumer.context) ?? new Set();
    this.#byContext.set(consumer.context, others.add(consumer));
  }

  #leave(consumer: Consumer): void {
    const all = this.#byContext.get(consumer.context);
    all?.delete(consumer);
    if (all?.size === 0) this.#byContext.delete(consumer.context);
  }

  /** Nothing until every list is read: a caller would conclude that nothing is in use. */
  #tell(context: string | undefined): void {
    if (this.isSynced) for (const listener of this.#listeners) listener(context);
  }
}

/** Changes of which Emissary takes for small ones. */
function isMapping(kind: ConsumerKind): boolean {
  return kind === "Mapping" || kind === "TCPMapping";
}

function keptOf(kind: ConsumerKind, object: unknown): Kept | undefined {
  const consumer = consumerOf(kind, object);
  const host = kind === "Host" ? hostNameOf(object) : undefined;
  return consumer === undefined && host === undefined ? undefined : { consumer, host };
}

interface Source {
  readonly kind: ConsumerKind;
  readonly namespace: string | undefined;
  readonly resource: Resource;
}

/** As they are now. None where the cluster has no such kind. @throws ApiError */
async function consumersIn(api: KubeClient, { kind, namespace, resource }: Source): Promise<Consumer[]> {
  const found: Consumer[] = [];
  try {
    for await (const { items } of pages(api, { path: pathOf(resource, { namespace }) }))
      found.push(...items.flatMap((object) => consumerOf(kind, object) ?? []));
  } catch (error) {
    if (!hasCode(error, "ATTACHE_KUBERNETES_KIND_UNKNOWN")) throw error;
  }
  return found;
}

/**
 * A look that costs something, shared by all who ask at about the same time: one is under way at a time, and each is
 * answered by one that began after he asked.
 */
export class FreshLook<T> {
  readonly #look: () => Promise<T>;
  #underWay: Promise<unknown> | undefined;
  #next: Promise<T> | undefined;

  constructor(look: () => Promise<T>) {
    this.#look = look;
  }

  now(): Promise<T> {
    if (this.#underWay === undefined) return this.#begin();
    this.#next ??= this.#underWay.then(() => {
      this.#next = undefined;
      return this.#begin();
    });
    return this.#next;
  }

  #begin(): Promise<T> {
    const look = this.#look();
    this.#underWay = look.then(
      () => this.#over(),
      () => this.#over(),
    );
    return look;
  }

  #over(): void {
    this.#underWay = undefined;
  }
}
