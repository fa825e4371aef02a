import {
  type Consumer,
  type ConsumerKind,
  type ConsumerName,
  consumerKinds,
  consumerOf,
  type ContextName,
  type HostName,
  hostNameOf,
  isMapping,
  type MappingChange,
  snapshotMs,
  usersOf,
} from "../../emissary/consumer.ts";
import { type AnnotatedResource, annotatedResources } from "../../emissary/annotations.ts";
import { fieldsOf, overlap, textOf } from "../../emissary/fields.ts";
import { contextAsUser, hostAsUser, namesSecret, type SecretUser } from "../../emissary/secret-users.ts";
import { type SecretName, tlsContextOf } from "../../emissary/tls-context.ts";
import { hasCode } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { type Informer, type InformerHealth, startInformer } from "../../kube/informer.ts";
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

/** What is kept of an object: that it names contexts or Secrets, and of a Host its own name. */
interface Kept {
  readonly consumers: readonly Consumer[];
  readonly hosts: readonly HostName[];
  readonly users: readonly SecretUser[];
}

/** Who names TLSContexts in the cluster: watched from the start, and reduced to that on arrival. */
export class Consumers implements ContextUses, AsyncDisposable {
  readonly #reflectors: readonly Informer<Kept>[];
  readonly #look: FreshLook<readonly Kept[]>;
  readonly #listeners = new Set<Parameters<ContextUses["onChange"]>[0]>();
  readonly #byContext = new Map<string, Set<Consumer>>();
  /** By `NAMESPACE/NAME`. */
  readonly #bySecret = new Map<string, Set<SecretUser>>();
  readonly #hosts = new Set<HostName>();
  #mappings: MappingChange | undefined;

  constructor({ api, namespaces, clock, logger }: ConsumersOptions) {
    const sources = (resources: readonly Resource[]): Source[] =>
      resources.flatMap((resource) => placesOf(namespaces).map((namespace) => ({ resource, namespace })));
    const watched = sources([...Object.values(consumerResources), ...annotated]);
    // The store watches TLSContexts itself.
    const listed = [...watched, ...sources([resources.tlsContexts])];
    this.#look = new FreshLook(async () => (await allOf(listed.map((source) => keptIn(api, source)))).flat());
    this.#reflectors = watched.map(({ namespace, resource }) =>
      startInformer<Kept>({
        ...{ api, clock, logger, namespace, resource },
        ...acceptOf(resource),
        reduce: (object) => keptOf(resource.kind, object),
        // Also a Mapping that names no context.
        observed: () => {
          if (isMapping(resource) && this.isSynced) this.#mappingChanged(clock.elapsedMs());
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

  get health(): readonly InformerHealth[] {
    return this.#reflectors.map(({ health }) => health);
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
    const consumers = (await this.#look.now()).flatMap((kept) => kept.consumers);
    return usersOf(context, consumers).length > 0;
  }

  usersOf({ namespace, name }: SecretName): readonly SecretUser[] {
    return [...(this.#bySecret.get(`${namespace}/${name}`) ?? [])];
  }

  async isAnyUsed(secrets: readonly SecretName[], isOwn: (user: SecretUser) => boolean): Promise<boolean> {
    if (secrets.length === 0) return false;
    const users = (await this.#look.now()).flatMap((kept) => kept.users);
    return users.some((user) => !isOwn(user) && secrets.some((secret) => namesSecret(user, secret)));
  }

  hasHost(name: string, ambassadorIds: readonly string[]): boolean {
    return this.#hosts
      .values()
      .some((host) => host.name === name && overlap(host.ambassadorIds, ambassadorIds));
  }

  onChange(listener: Parameters<ContextUses["onChange"]>[0]): Disposable {
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
    for (const host of before?.hosts ?? []) this.#hosts.delete(host);
    for (const host of after?.hosts ?? []) this.#hosts.add(host);
    for (const consumer of before?.consumers ?? []) leave(this.#byContext, consumer.context, consumer);
    for (const consumer of after?.consumers ?? []) join(this.#byContext, consumer.context, consumer);
    for (const user of before?.users ?? [])
      for (const { namespace, name } of user.secrets) leave(this.#bySecret, `${namespace}/${name}`, user);
    for (const user of after?.users ?? [])
      for (const { namespace, name } of user.secrets) join(this.#bySecret, `${namespace}/${name}`, user);
    const both = [before, after].filter((one) => one !== undefined);
    const contexts = both.flatMap(({ consumers }) => consumers.map(({ context }) => context));
    for (const context of new Set(contexts)) this.#tell(context);
    const secrets = both.flatMap(({ users }) => users.flatMap((user) => user.secrets));
    if (secrets.length > 0) this.#tell(undefined, secrets);
  }

  /** Nothing until every list is read: a caller would conclude that nothing is in use. */
  #tell(context: string | undefined, secrets?: readonly SecretName[]): void {
    if (this.isSynced) for (const listener of this.#listeners) listener(context, secrets);
  }
}

function join<T>(index: Map<string, Set<T>>, key: string, item: T): void {
  index.set(key, (index.get(key) ?? new Set()).add(item));
}

function leave<T>(index: Map<string, Set<T>>, key: string, item: T): void {
  const all = index.get(key);
  all?.delete(item);
  if (all?.size === 0) index.delete(key);
}

/** Emissary reads resources in their annotations. */
const annotated: readonly Resource[] = [resources.services, resources.ingresses];

function acceptOf(resource: Resource): { readonly accept?: "metadata" } {
  return annotated.includes(resource) ? { accept: "metadata" } : {};
}

function keptOf(kind: string, object: unknown): Kept | undefined {
  const isHolder = annotated.some((one) => one.kind === kind);
  const parts = isHolder ? annotatedResources(object) : [{ kind, object }];
  const holder = isHolder ? holderOf(kind, object) : undefined;
  const kept = {
    consumers: parts.flatMap((part) =>
      consumerKinds
        .filter((one) => one === part.kind)
        .flatMap((one) => consumerOf(one, part.object, holder) ?? []),
    ),
    hosts: parts.flatMap((part) => (part.kind === "Host" ? hostNameOf(part.object) : [])),
    users: parts.flatMap((part) => userOf(part) ?? []),
  };
  return Object.values(kept).every((all) => all.length === 0) ? undefined : kept;
}

function holderOf(kind: string, object: unknown): ConsumerName {
  const { namespace, name } = fieldsOf(fieldsOf(object)["metadata"]);
  return { kind, namespace: textOf(namespace), name: textOf(name) };
}

function userOf({ kind, object }: AnnotatedResource): SecretUser | undefined {
  if (kind === "Host") return hostAsUser(object);
  return kind === "TLSContext" ? contextAsUser(tlsContextOf(object)) : undefined;
}

interface Source {
  readonly namespace: string | undefined;
  readonly resource: Resource;
}

/** As they are now. None where the cluster has no such kind. @throws ApiError */
async function keptIn(api: KubeClient, { namespace, resource }: Source): Promise<Kept[]> {
  const found: Kept[] = [];
  try {
    for await (const { items } of pages(api, {
      path: pathOf(resource, { namespace }),
      ...acceptOf(resource),
    }))
      found.push(...items.flatMap((object) => keptOf(resource.kind, object) ?? []));
  } catch (error) {
    if (!hasCode(error, "ATTACHE_KUBERNETES_KIND_UNKNOWN")) throw error;
  }
  return found;
}

/**
 * A look that costs something, shared by all who ask at about the same time: one is under way at a time, and
 * each is
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
