import {
  type Consumer,
  type ConsumerKind,
  type ConsumerName,
  consumerKinds,
  consumerOf,
  type ContextName,
  isMapping,
  type MappingChange,
  snapshotMs,
  usersOf,
} from "../../emissary/consumer.ts";
import { type AnnotatedResource, isAnnotated, readAnnotated } from "../../emissary/annotations.ts";
import { fieldsOf, textOf } from "../../emissary/fields.ts";
import { hostAsUser, ingressAsUser, moduleAsUsers, usesSecret } from "../../emissary/secret-users.ts";
import { type SecretName, type SecretUser, tlsContextOf } from "../../emissary/tls-context.ts";
import { hasCode } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { type Informer, type InformerHealth, startInformer } from "../../kube/informer.ts";
import { pages } from "../../kube/pages.ts";
import { pathOf, type Resource, resources } from "../../kube/resources.ts";
import type { Clock } from "../../runtime/clock.ts";
import { allOf } from "../../runtime/semaphore.ts";
import { atOnce, inSlices } from "../../runtime/time-slice.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Groups } from "../groups.ts";
import type { Use } from "../store.ts";
import { placesOf } from "./informers.ts";

export interface ConsumersOptions {
  readonly api: KubeClient;
  /** None: all. */
  readonly namespaces: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called for each object but TLSContexts, and each in an annotation, that names Secrets: when it appears or goes. */
  readonly userChanged: (before: SecretUser | undefined, after: SecretUser | undefined) => void;
}

export const consumerResources: Readonly<Record<ConsumerKind, Resource>> = {
  Mapping: resources.mappings,
  TCPMapping: resources.tcpMappings,
  AuthService: resources.authServices,
  RateLimitService: resources.rateLimitServices,
  Host: resources.hosts,
};

/** What is kept of an object: that it names contexts or Secrets. */
interface Kept {
  readonly consumers: readonly Consumer[];
  readonly users: readonly SecretUser[];
}

/** Who names TLSContexts, in all that Emissary reads. */
export interface ContextUses {
  /** In an order that does not change by itself; nothing as long as not everything was listed: then all may be in use. */
  usesOf(context: ContextName): readonly Use[] | undefined;
  /** As the API server has it at this moment: to be asked before what cannot be undone, as a watch may be behind. @throws ApiError */
  isUsed(context: ContextName): Promise<boolean>;
  /** Whether an object that is not `isOwn` names one of the Secrets at this moment, as {@link isUsed}. @throws ApiError */
  isAnyUsed(secrets: readonly SecretName[], isOwn: (user: SecretUser) => boolean): Promise<boolean>;
  /** All consumers that name a context; nothing until every list is read. */
  all(): Iterable<Consumer> | undefined;
  readonly mappings?: MappingChange | undefined;
  /** Of the kinds that are watched for it. */
  readonly health?: readonly InformerHealth[];
  /** Calls `listener` with the name of each context of which {@link usesOf} may say something new; without one for all. */
  onChange(listener: (context: string | undefined) => void): Disposable;
}

/** Watched from the start, and reduced on arrival to what they name. */
export class Consumers implements ContextUses, AsyncDisposable {
  readonly #reflectors: readonly Informer<Kept>[];
  readonly #look: FreshLook<readonly Kept[]>;
  readonly #listeners = new Set<(context: string | undefined) => void>();
  readonly #byContext = new Groups<Consumer>();
  readonly #userChanged: ConsumersOptions["userChanged"];
  #mappings: MappingChange | undefined;

  constructor({ api, namespaces, clock, logger, userChanged }: ConsumersOptions) {
    const sources = (resources: readonly Resource[]): Source[] =>
      resources.flatMap((resource) => placesOf(namespaces).map((namespace) => ({ resource, namespace })));
    const watched = sources([...Object.values(consumerResources), resources.modules, ...annotated]);
    // The store watches TLSContexts itself.
    const listed = [...watched, ...sources([resources.tlsContexts])];
    this.#userChanged = userChanged;
    this.#look = new FreshLook(async () => (await allOf(listed.map((source) => keptIn(api, source)))).flat());
    this.#reflectors = watched.map(({ namespace, resource }) =>
      startInformer<Kept>({
        ...{ api, clock, logger, namespace, resource },
        ...acceptOf(resource),
        reduce: (object) => {
          const steps = keptOf(resource.kind, object);
          return isAnnotated(object) ? inSlices(steps) : atOnce(steps);
        },
        // Also a Mapping that names no context.
        observed: () => {
          if (isMapping(resource) && this.isSynced) this.#mappingChanged(clock.elapsedMs());
        },
        changed: ({ before, after }) => this.#changed(before, after),
      }),
    );
    void Promise.all(this.#reflectors.map(({ synced }) => synced)).then(
      () => this.#notify(undefined),
      () => undefined,
    );
  }

  all(): Iterable<Consumer> | undefined {
    return this.isSynced ? this.#byContext.all() : undefined;
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
    const consumers = this.#byContext.get(context.name);
    return usersOf(context, consumers).map(({ kind, namespace, name }) => ({ kind, namespace, name }));
  }

  async isUsed(context: ContextName): Promise<boolean> {
    const consumers = (await this.#look.now()).flatMap((kept) => kept.consumers);
    return usersOf(context, consumers).length > 0;
  }

  async isAnyUsed(secrets: readonly SecretName[], isOwn: (user: SecretUser) => boolean): Promise<boolean> {
    if (secrets.length === 0) return false;
    const users = (await this.#look.now()).flatMap((kept) => kept.users);
    return users.some((user) => !isOwn(user) && secrets.some((secret) => usesSecret(user, secret)));
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
    for (const consumer of before?.consumers ?? []) this.#byContext.delete(consumer.context, consumer);
    for (const consumer of after?.consumers ?? []) this.#byContext.add(consumer.context, consumer);
    for (const user of before?.users ?? []) this.#userChanged(user, undefined);
    for (const user of after?.users ?? []) this.#userChanged(undefined, user);
    const contexts = [before, after].flatMap((kept) => kept?.consumers.map(({ context }) => context) ?? []);
    for (const context of new Set(contexts)) this.#notify(context);
  }

  /** Nothing until every list is read: a caller would conclude that nothing is in use. */
  #notify(context: string | undefined): void {
    if (this.isSynced) for (const listener of this.#listeners) listener(context);
  }
}

/** Emissary reads resources in their annotations. */
const annotated: readonly Resource[] = [resources.services, resources.ingresses];

function acceptOf(resource: Resource): { readonly accept?: "metadata" } {
  return resource === resources.services ? { accept: "metadata" } : {};
}

function* keptOf(kind: string, object: unknown): Generator<unknown, Kept | undefined, undefined> {
  const isHolder = annotated.some((one) => one.kind === kind);
  const parts = isHolder ? yield* readAnnotated(object) : [{ kind, object }];
  const holder = isHolder ? holderOf(kind, object) : undefined;
  const kept = {
    consumers: parts.flatMap((part) =>
      consumerKinds
        .filter((one) => one === part.kind)
        .flatMap((one) => consumerOf(one, part.object, holder) ?? []),
    ),
    users: [
      ...parts.flatMap((part) => usersIn(part, holder)),
      ...(kind === resources.ingresses.kind ? [ingressAsUser(object) ?? []].flat() : []),
    ],
  };
  return Object.values(kept).every((all) => all.length === 0) ? undefined : kept;
}

function holderOf(kind: string, object: unknown): ConsumerName {
  const { namespace, name } = fieldsOf(fieldsOf(object)["metadata"]);
  return { kind, namespace: textOf(namespace), name: textOf(name) };
}

function usersIn({ kind, object }: AnnotatedResource, holder?: ConsumerName): SecretUser[] {
  switch (kind) {
    case "Host":
      return [hostAsUser(object, holder)];
    case "Module":
      return moduleAsUsers(object, holder);
    case "TLSContext":
      return [tlsContextOf(object, holder)];
    default:
      return [];
  }
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
      for (const object of items) {
        const kept = await inSlices(keptOf(resource.kind, object));
        if (kept !== undefined) found.push(kept);
      }
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
