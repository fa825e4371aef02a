import type { Possessions } from "../../api/addressee.ts";
import { type IdentityKey, keyOf, type MeshCertificate, type Status } from "../../api/mesh-certificate.ts";
import { type Consumer, consumerKey, type ContextName, type MappingChange } from "../../emissary/consumer.ts";
import type { Exposure } from "../../emissary/exposure.ts";
import type { NameConflict } from "../../emissary/name-conflicts.ts";
import type { SecretUser, TlsContext } from "../../emissary/tls-context.ts";
import { hasCode } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { resources } from "../../kube/resources.ts";
import type { Manifest } from "../../render/manifest.ts";
import { managerOf } from "../../render/marks.ts";
import type { Clock } from "../../runtime/clock.ts";
import { TimerQueue } from "../../runtime/timer-queue.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { ObjectRef, ObservedObject, Owner } from "../backend.ts";
import { OwnedObjects } from "../owned-objects.ts";
import { Publisher } from "../publisher.ts";
import { type Applied, type IdentityRef, type Store, type StoreEvent, type Use } from "../store.ts";
import { WriteContention } from "../write-contention.ts";
import { fenced, KubernetesBackend } from "./backend.ts";
import { type ContextUses, consumerResources, Consumers } from "./consumers.ts";
import { ClusterState } from "./cluster-state.ts";
import { nameConflict } from "./context-names.ts";
import { Contexts } from "./contexts.ts";
import { DeletionGrace } from "./deletion-grace.ts";
import { EventRecorder } from "./event-recorder.ts";
import { Exposures, type Observed } from "./exposures.ts";
import { Identities } from "./identities.ts";
import { IdentityWriter } from "./identity-writer.ts";
import { Informers, watchStates } from "./informers.ts";
import { InvalidIdentities } from "./invalid-identities.ts";
import { KubernetesUsage } from "./kubernetes-usage.ts";
import { defaultNamespaceLimit, NamespaceLimit } from "./namespace-limit.ts";
import { type StatusEvent, statusEvents } from "./status-events.ts";
import { StoreWatch } from "./store-watch.ts";

export interface KubernetesStoreOptions {
  /** Stays the caller's. */
  readonly api: KubeClient;
  /** Where MeshCertificates are read and targets are written; none: everywhere. */
  readonly namespaces: readonly string[];
  /** Where TLSContexts and those who name them are watched; none: everywhere. By default as `namespaces`. */
  readonly consumersIn?: readonly string[];
  /** Part of the marks on what is published, of the field manager and of the finalizer. */
  readonly installation: string;
  /** Those that are configured: of an identity that cannot be read, they too tell whose it is. */
  readonly meshes: Possessions["meshes"];
  /** How many identities of one namespace are served; {@link defaultNamespaceLimit} by default. */
  readonly identitiesPerNamespace?: number;
  /** How long after its deletion began an identity without uses is kept; not at all by default. */
  readonly deletionGraceMs?: number;
  /** The consumers of what is published; by default those in `consumersIn`. */
  readonly uses?: ContextUses | undefined;
  /** Whether this process leads; asked before each write. */
  readonly mayWrite?: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Opens the store of a cluster: MeshCertificates as custom objects, targets as Secrets and TLSContexts. Its watches run from
 * now on, whether or not it is followed, so that a replica that waits for the lease knows every object.
 */
export function openKubernetesStore(options: KubernetesStoreOptions): KubernetesStore {
  return new KubernetesStore(options);
}

export class KubernetesStore implements Store {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #closed = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  readonly #watches = new Set<StoreWatch>();
  readonly #stack = new AsyncDisposableStack();
  readonly #state: ClusterState;
  readonly #writer: IdentityWriter;
  readonly #invalid: InvalidIdentities;
  readonly #events: EventRecorder;
  readonly #backend: KubernetesBackend;
  readonly #publisher: Publisher;
  readonly #feeds: Informers;
  readonly #exposures: Exposures;
  readonly #grace: DeletionGrace;
  readonly #actsIn: (namespace: string) => boolean;

  constructor(options: KubernetesStoreOptions) {
    const { api: open, namespaces, installation, mayWrite = () => true, clock, logger } = options;
    const { consumersIn = namespaces } = options;
    const userChanged = (before?: SecretUser, after?: SecretUser) => this.#userChanged(before, after);
    const uses =
      options.uses ?? this.#stack.use(new Consumers({ ...options, namespaces: consumersIn, userChanged }));
    this.#actsIn = (namespace) => namespaces.length === 0 || namespaces.includes(namespace);
    this.#clock = clock;
    this.#logger = logger;
    const manager = managerOf(installation);
    const api = fenced(open, mayWrite);
    const identities = new Identities({
      limit: new NamespaceLimit(options.identitiesPerNamespace ?? defaultNamespaceLimit),
      onChange: (key) => this.#each((watch) => watch.changed(key)),
      onRoom: (key) => this.#invalid.look(key),
    });
    const owned = new OwnedObjects({ installation, onDrift: (owner) => this.#drifted(owner) });
    const requeues = this.#stack.use(
      new TimerQueue<IdentityKey>(clock, (key) => this.#each((one) => one.drifted(key))),
    );
    this.#grace = this.#stack.use(
      new DeletionGrace({
        graceMs: options.deletionGraceMs ?? 0,
        clock,
        onEnd: (key) => this.#each((watch) => watch.changed(key)),
      }),
    );
    this.#invalid = this.#stack.use(
      new InvalidIdentities({
        ...{ api, identities, own: options, mayWrite, clock, logger },
        report: (identity, status) => this.report(identity, status),
      }),
    );
    const contexts = new Contexts();
    const state = new ClusterState(identities, owned, contexts, uses);
    this.#state = state;
    this.#writer = new IdentityWriter({ api, identities, installation, manager });
    this.#events = this.#stack.use(new EventRecorder({ api, clock, logger, installation }));
    this.#backend = new KubernetesBackend({ api, installation, namespaces, manager, clock });
    this.#publisher = new Publisher({
      backend: this.#backend,
      owned,
      installation,
      finalizer: this.#writer,
      contention: new WriteContention(clock),
      usage: new KubernetesUsage(state),
      nameConflict: (context) => nameConflict(context, state),
      isKnown: (uid) => identities.ofUid(uid) !== undefined,
      isNamespaceTerminating: (uid) => state.terminating.has(uid),
      requeue: (owner, afterMs) => requeues.hasten(state.keyOf(owner), afterMs),
    });
    this.#stack.use(uses.onChange((context) => this.#usesChanged(context)));
    this.#exposures = this.#stack.use(
      new Exposures({
        // A replica that does not lead reports nothing.
        consumers: () => (mayWrite() && this.#feeds.isSynced ? uses.all() : undefined),
        contexts: () => contexts.all(),
        facts: {
          unsoundness: (context) => state.unsoundness(context, clock.now()),
          publishers: () => identities.publishers(),
        },
        onExposed: (exposure) => this.#recordExposed(exposure),
        onChange: (context) => this.#wake(this.#state.concernedByUse(context)),
        clock,
      }),
    );
    this.#feeds = this.#stack.use(
      new Informers({
        ...options,
        consumersIn,
        manager,
        identities,
        secrets: owned,
        known: (ref, version) => owned.seenAt(ref, version),
        contexts: ({ before, after }) => {
          this.#userChanged(before, after);
          // Objects that are left in a namespace where attaché no longer acts have no owner.
          if (after !== undefined && this.#actsIn(after.namespace)) owned.see(after.observed);
          if (after === undefined && before !== undefined) owned.lose(before.observed);
        },
        onChange: () => this.#each((watch) => watch.ring()),
      }),
    );
  }

  /** All of them, whatever their owner, as last seen. */
  get contexts(): readonly TlsContext[] {
    return this.#state.contexts.all();
  }

  async *watch(signal: AbortSignal, isStandby = false): AsyncGenerator<StoreEvent> {
    const watch = new StoreWatch({
      state: this.#state,
      writer: this.#writer,
      grace: this.#grace,
      usesOf: (owner) => this.#publisher.usesOf(owner),
      isSynced: () => this.#feeds.isSynced,
      isAbsent: () => this.#feeds.isAbsent,
      ...(!isStandby && { published: (aborted: AbortSignal) => this.#published(aborted) }),
      onInvalid: (key) => this.#invalid.look(key),
    });
    this.#watches.add(watch);
    try {
      yield* watch.events(AbortSignal.any([signal, this.#closed.signal]));
    } finally {
      this.#watches.delete(watch);
    }
  }

  read(identity: MeshCertificate): Promise<Manifest[]> {
    return this.#run(() => this.#publisher.read(identity));
  }

  apply(identity: MeshCertificate, manifests: readonly Manifest[]): Promise<Applied> {
    return this.#run(async () => {
      try {
        return await this.#publisher.apply(identity, manifests);
      } catch (error) {
        if (hasCode(error, "ATTACHE_KUBERNETES_NAMESPACE_ENDS")) this.#doom(identity);
        throw error;
      }
    });
  }

  withdraw(identity: IdentityRef): Promise<void> {
    const { uid = "" } = identity.metadata;
    return this.#run(async () => {
      await this.#publisher.withdraw(identity);
      this.#state.terminating.delete(uid);
      this.#grace.forget(uid);
    });
  }

  /** Includes the consumers that name its context without effect: they are exposed. */
  usesOf({ metadata: { namespace, name, uid = "" } }: IdentityRef): readonly Use[] {
    const uses = this.#publisher.usesOf({ namespace, name, uid }) ?? [];
    const wanted = this.#state.identities.ofUid(uid)?.context?.name;
    const isCounted = new Set(uses.map(consumerKey));
    const others = this.exposures
      .map(({ consumer }) => consumer)
      .filter((consumer) => consumer.context === wanted && !isCounted.has(consumerKey(consumer)));
    return [...uses, ...others].map((use) => {
      const exposure = this.#exposures.of(use)?.severity;
      return { kind: use.kind, namespace: use.namespace, name: use.name, ...(exposure && { exposure }) };
    });
  }

  conflictsOf(identity: MeshCertificate): readonly NameConflict[] {
    return this.#state.conflictsOf(identity);
  }

  /** Who names a TLSContext and is exposed, as last seen. */
  get exposures(): readonly Exposure[] {
    return this.#exposures.current;
  }

  get watches() {
    return watchStates([...this.#feeds.health, ...(this.#state.uses.health ?? [])], this.#clock);
  }

  consumers(): Iterable<Consumer> | undefined {
    return this.#state.uses.all();
  }

  /** Calls `listener` when {@link consumers} may say something new. */
  onConsumers(listener: () => void): Disposable {
    return this.#state.uses.onChange(listener);
  }

  get mappings(): MappingChange | undefined {
    return this.#state.uses.mappings;
  }

  /** The contexts that are published for the identity, former names included. */
  contextsOf({ metadata: { namespace, name, uid = "" } }: IdentityRef): readonly ContextName[] {
    return this.#publisher.contextsOf({ namespace, name, uid });
  }

  /** Touches a TLSContext of the identity, so that Emissary reads all again. @throws StoreError, ApiError */
  nudge(identity: IdentityRef, context: string): Promise<void> {
    const nudge = (ref: ObjectRef, seen: ObservedObject) => this.#backend.nudge(ref, seen);
    return this.#run(() => this.#publisher.touch(identity, context, nudge));
  }

  /** Touches a Mapping or TCPMapping, so that Emissary rebuilds its cluster. @throws StoreError, ApiError */
  touchMapping(mapping: Consumer): Promise<void> {
    return this.#run(() => this.#backend.nudgeMapping(mapping));
  }

  /** What Envoy shows of consumers now. */
  observeExposures(observed: Observed): void {
    this.#exposures.observe(observed);
  }

  report(identity: IdentityRef, status: Status): Promise<void> {
    return this.#run(async () => {
      const reported = this.#invalid.withInvalid(identity, status, this.#clock.now());
      const written = await this.#writer.report(identity, reported);
      if (written === undefined) return;
      for (const statusEvent of statusEvents(written.before, reported)) this.#record(identity, statusEvent);
    });
  }

  /** Waits for what is being written. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(new Error("the store was closed"));
    await Promise.allSettled(this.#running);
    await this.#stack.disposeAsync();
  }

  /** If that fails, each is read on its own, with all that a reconcile does about failures. */
  async *#published(signal: AbortSignal): AsyncGenerator<readonly [Owner, Manifest[]]> {
    try {
      yield* this.#publisher.readAll(signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#logger.log("ListFailed", { err: error });
    }
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    this.#closed.signal.throwIfAborted();
    const running = work();
    this.#running.add(running);
    return running.finally(() => this.#running.delete(running));
  }

  #each(tell: (watch: StoreWatch) => void): void {
    for (const watch of this.#watches) tell(watch);
  }

  #drifted(owner: Owner): void {
    const key = this.#state.keyOf(owner);
    this.#each((watch) => watch.drifted(key));
  }

  #doom(identity: MeshCertificate): void {
    const { uid = "" } = identity.metadata;
    this.#state.terminating.add(uid);
    this.#each((watch) => watch.changed(keyOf(identity)));
  }

  #usesChanged(context: string | undefined): void {
    this.#exposures.changed();
    this.#wake(context === undefined ? this.#state.all() : this.#state.concernedByUse(context));
  }

  /** A TLSContext or a Host. */
  #userChanged(before: SecretUser | undefined, after: SecretUser | undefined): void {
    const user = after ?? before;
    if (user === undefined) return;
    this.#state.contexts.replace(before, after);
    this.#exposures.changed();
    this.#wake(this.#state.concernedByUser(user, before));
  }

  #wake(keys: readonly IdentityKey[]): void {
    for (const key of new Set(keys)) this.#each((watch) => watch.usesChanged(key));
  }

  /** Where it may not write, it writes no Event either. */
  #recordExposed({ consumer, reason, message }: Exposure): void {
    // One in an annotation is no object.
    if (!this.#actsIn(consumer.namespace) || consumer.uid === "") return;
    const regarding = { resource: consumerResources[consumer.kind], ...consumer };
    this.#events.record(regarding, { type: "Warning", reason, action: "Protect", note: message });
  }

  #record({ metadata: { namespace, name, uid = "" } }: IdentityRef, statusEvent: StatusEvent): void {
    this.#events.record({ resource: resources.meshCertificates, namespace, name, uid }, statusEvent);
  }
}
