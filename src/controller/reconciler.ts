import { type MeshCertificate, type Status, withoutStatus } from "../api/mesh-certificate.ts";
import type { Credential } from "../credentials/credential.ts";
import type { Retention } from "../credentials/trust-bundle.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { expectedOf, type Ingress } from "../ingress/ingress.ts";
import { errorCode } from "../mesh/errors.ts";
import type { Manifest } from "../render/manifest.ts";
import { nothingPublished, type Published, readBack } from "../render/read-back.ts";
import { render } from "../render/render.ts";
import type { Requeue } from "../runtime/worker.ts";
import type { Applied, Store } from "../store/store.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Allow } from "./allow.ts";
import { type Authorization, authorize } from "./authorization.ts";
import { statusOf } from "./conditions.ts";
import {
  afterDrift,
  type Decision,
  decide,
  type Publication,
  publishedBy,
  retentionOf,
  type Rules,
} from "./decide.ts";
import { LeafRolloutGate } from "./leaf-rollout-gate.ts";
import { nextLook, silenceMs } from "./next-look.ts";
import type { Observer } from "./observer.ts";
import { Renewal, type Renewals } from "./renewal.ts";
import type { RotationBatcher } from "./rotation-batcher.ts";
import { RevocationGate } from "./revocation-gate.ts";
import { RotationLog } from "./rotation-log.ts";
import { type Offer, Source, type SourceConsumer, type SourcePorts } from "./source.ts";
import type { Task, Tasks } from "./task.ts";
import { UnknownRoots } from "./unknown-roots.ts";

export interface ReconcilerPorts extends SourcePorts, Pick<Rules, "clockSkewMs" | "limits"> {
  readonly store: Store;
  /** Absent where the store is none that an ingress reads. */
  readonly ingress?: Ingress | undefined;
  readonly logger: Logger;
  readonly observer: Observer;
  readonly allow: Allow;
  readonly tasks: Tasks;
  readonly renewals: Renewals;
  readonly rotations: RotationBatcher;
  readonly installation: string;
  /** As in the status; absent in a folder. */
  readonly servedBy?: string | undefined;
}

/**
 * Keeps what is published for one identity in step with its mesh, until it is stopped.
 *
 * It is level-triggered: whatever happens (a credential, a failure, drift, a root that is due to retire) wakes it, and
 * each reconcile starts from what is known, decides, applies and reports. One that finds everything as it should be
 * writes nothing. What it throws the worker logs, and tries again with back-off.
 */
export class Reconciler implements Task, SourceConsumer {
  #identity: MeshCertificate;
  readonly #ports: ReconcilerPorts;
  readonly #authorization: Authorization;
  readonly #renewal: Renewal;
  readonly #source: Source;
  readonly #gate: LeafRolloutGate;
  readonly #revocationGate = new RevocationGate();
  readonly #unknownRoots = new UnknownRoots();
  #isStarted = false;
  #startedMs = 0;
  #isWatching = false;
  #isStopped = false;
  /** How often another writer has changed what is published, and how often it had when that was read. */
  #drifts = 0;
  #driftsRead = 0;

  readonly #rotations: RotationLog;
  #hasReceived = false;
  #sourceError: unknown;
  #storeError: unknown;
  /** What the store said with its last success. */
  #storeProblem: Applied["problem"];
  #published: Published | undefined;
  #decision: Omit<Decision, "publication"> = {
    lastGood: undefined,
    candidate: undefined,
    rejection: undefined,
    publishedRejection: undefined,
  };
  #retention: Retention = { bundle: [], roots: [], remarks: [] };
  #publication: Publication | undefined;
  #status: Status | undefined;
  #hasLooked = false;

  constructor(identity: MeshCertificate, ports: ReconcilerPorts) {
    this.#identity = withoutStatus(identity);
    this.#ports = ports;
    this.#authorization = authorize(identity, ports.mesh, ports.allow);
    this.#status = identity.status;
    this.#rotations = new RotationLog(identity.status?.lastRotationTime);
    this.#gate = new LeafRolloutGate(ports.clock);
    this.#source = new Source(identity, ports, this);
    this.#renewal = new Renewal(this, this.#source, identity.status?.lastRenewRequest);
  }

  get identity(): MeshCertificate {
    return this.#identity;
  }

  /** For the source. */
  get current(): Credential | undefined {
    return this.#renewal.isUnderWay ? undefined : (this.#decision.lastGood ?? this.#published?.credential);
  }

  /** The status as last computed, also when the store did not take it. */
  get status(): Status | undefined {
    return this.#status;
  }

  /** Whether the status was computed here, and is not that of a process before. */
  get hasLooked(): boolean {
    return this.#hasLooked;
  }

  /** What is published: the chain, leaf first, and every root. */
  get certificates() {
    return { chain: this.#published?.credential?.chain ?? [], bundle: this.#published?.bundle ?? [] };
  }

  /** Takes what the store has read already. To be called before the start. */
  async found(manifests: readonly Manifest[]): Promise<void> {
    try {
      await this.#readFirst(manifests);
    } catch {
      // The first reconcile reads it again, and reports why that fails.
    }
  }

  start(): void {
    this.#isStarted = true;
    this.#startedMs = this.#ports.clock.elapsedMs();
    if (this.#authorization.kind === "refused") this.#sourceFailed(this.#authorization.error);
    this.wake();
  }

  /** Resolves after a reconcile that is under way: what it writes is complete. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const { tasks, renewals } = this.#ports;
    await Promise.all([renewals.remove(this.#renewal), this.#source.stop(), tasks.remove(this)]);
    this.#ports.ingress?.forget(this.#identity);
  }

  /** The identity has other metadata; its UID and its spec are the same. */
  update(identity: MeshCertificate): void {
    this.#identity = withoutStatus(identity);
    this.wake();
  }

  /**
   * Something outside may have changed: who uses the identity, what is published, or the connection to the
   * mesh.
   */
  wake(): void {
    if (this.#isStarted && !this.#isStopped) this.#ports.tasks.enqueue(this);
  }

  /** Another writer has changed what is published. */
  drifted(): void {
    this.#drifts += 1;
    this.wake();
  }

  /** For the worker, which hears of what the store did not take: the target, or else the status. */
  async reconcile(): Promise<Requeue> {
    try {
      const published = await this.#readPublished();
      await this.#apply(published, this.#decide(published));
      this.#storeError = undefined;
    } catch (error) {
      this.#storeFailed(error);
      this.#storeError = error;
    }
    this.#watch();
    const silenceMs = this.#silenceMs();
    if (silenceMs > 0) return { requeueAfterMs: silenceMs };
    if (this.#isWatching && !this.#isStopped && this.#renewal.isDue)
      this.#ports.renewals.enqueue(this.#renewal);
    const reportError = await this.#report();
    const next = nextLook({
      ...this.#decision,
      ...this.#retention,
      publication: this.#publication,
      published: this.#published,
      now: this.#ports.clock.now(),
    });
    this.#logger.log("Reconciled", { requeueAt: next.requeueAt });
    return { ...next, failure: this.#storeError ?? reportError };
  }

  failed(error: unknown): void {
    if (errorCode(error) === "ATTACHE_INTERNAL") this.#logger.log("Bug", { what: "a reconcile", err: error });
    else this.#logger.log(error === this.#storeError ? "NotPublished" : "StatusNotWritten", { err: error });
  }

  /** From the store once; since then it is what was applied last, or what a former leader wrote after that. */
  async #readPublished(): Promise<Published> {
    const before = this.#published;
    // The newest leaf of the mesh is put back, whatever is there. An older one may not be.
    const isBehind = !this.#hasReceived || (this.#publication?.leafWaitMs ?? 0) > 0;
    if (before !== undefined && (this.#drifts === this.#driftsRead || !isBehind)) return before;
    const drifts = this.#drifts;
    const manifests = await this.#ports.store.read(this.#identity);
    this.#driftsRead = drifts;
    if (before === undefined) return this.#readFirst(manifests);
    const { credential } = await readBack(this.#identity, manifests, this.#ports.clock.now());
    const after = afterDrift(this.#known(before), credential, this.#rules());
    this.#decision = { ...this.#decision, lastGood: after.lastGood };
    return (this.#published = after.published);
  }

  async #readFirst(manifests: readonly Manifest[]): Promise<Published> {
    const [identity, { clock }] = [this.#identity, this.#ports];
    const published = await readBack(identity, manifests, clock.now());
    if (published.credential !== undefined)
      this.#retention = retentionOf(published.credential, { identity, published }, this.#rules());
    this.#unknownRoots.suspect(published.bundle, this.#status);
    this.#revocationGate.applied(published, clock);
    return (this.#published = published);
  }

  #decide(published: Published): Publication | undefined {
    const { publication, ...decision } = decide(this.#known(published), this.#rules());
    const { rejection } = decision;
    if (rejection !== undefined && rejection.message !== this.#decision.rejection?.message) {
      this.#ports.observer.rejected({ mesh: this.#ports.mesh.name, policy: rejection.policy });
      this.#logger.log("CredentialRejected", { policy: rejection.policy, err: rejection });
    }
    this.#decision = decision;
    this.#publication = publication;
    if (this.#hasReceived && rejection === undefined && publication !== undefined)
      this.#unknownRoots.compare(publication, { ...this.#ports, logger: this.#logger });
    return publication;
  }

  #known(published: Published) {
    return { ...this.#decision, identity: this.#identity, authorization: this.#authorization, published };
  }

  #rules(): Rules {
    const { mesh, clock, store, ingress, rotations, clockSkewMs, limits } = this.#ports;
    const gate = {
      clock,
      rotations,
      isWatched: () => ingress !== undefined && store.usesOf(this.#identity).length > 0,
      isPending: () => ingress?.servedOf(this.#identity).isPending ?? false,
    };
    return {
      trustDomain: mesh.trustDomain,
      retainMs: mesh.retainMs,
      clockSkewMs,
      limits,
      now: clock.now(),
      leafWaitMs: (published, next) => this.#gate.waitMs(published, next, gate),
      revocationWaitMs: (published) => this.#revocationGate.waitMs(published, clock),
    };
  }

  async #apply(published: Published, publication: Publication | undefined): Promise<void> {
    if (publication === undefined) return;
    const { credential, retention, revocation } = publication;
    const { mesh, store, installation, observer, clock } = this.#ports;
    const target = render({
      identity: this.#identity,
      credential,
      retention,
      revocation,
      installation,
      ...(mesh.alpnProtocols !== undefined && { alpnProtocols: mesh.alpnProtocols }),
    });
    const { writes, problem } = await store.apply(this.#identity, target);
    observer.applied(writes);
    if (problem !== undefined) {
      this.#storeFailed(problem);
      if (problem.message !== this.#storeProblem?.message) this.#logger.log("NotPublished", { err: problem });
    }
    this.#storeProblem = problem;
    this.#retention = retention;
    this.#decision = { ...this.#decision, publishedRejection: undefined };
    this.#published = publishedBy(publication);
    this.#revocationGate.applied(this.#published, clock);
    const logger = this.#logger;
    this.#rotations.applied(published, publication, writes, {
      ...this.#ports,
      identity: this.#identity,
      logger,
    });
    const expected = expectedOf(credential, retention, writes > 0);
    if (expected !== undefined) this.#ports.ingress?.expect(this.#identity, expected);
    // The leaf may have waited for just that to be written.
    if (writes > 0 && publication.leafWaitMs > 0) this.wake();
  }

  /** For how long nothing is reported yet: the mesh is asked, and there is no status that says otherwise. */
  #silenceMs(): number {
    const { mesh, clock, asking } = this.#ports;
    const isAwaiting =
      (this.#status ?? this.#sourceError ?? this.#storeError) === undefined &&
      this.#published !== undefined &&
      this.#published.credential === undefined &&
      !this.#hasReceived;
    if (!isAwaiting) return 0;
    const nowMs = clock.elapsedMs();
    const answeredMs = mesh.connection?.connected === false ? -Infinity : asking.answeredMs;
    return silenceMs(nowMs - this.#startedMs, nowMs - answeredMs);
  }

  /**
   * Asks the mesh once it is known what is published, from which some adapters go on. What the store gives and
   * nothing can read does not delay that: a new credential is what mends it.
   */
  #watch(): void {
    if (this.#isWatching || this.#isStopped || this.#authorization.kind === "refused") return;
    if (this.#published === undefined && this.#storeError instanceof AttacheError) return;
    if (this.#published?.credential === undefined) this.#renewal.begin();
    this.#isWatching = true;
    this.#source.start();
  }

  /** Returns why the store did not take the status. */
  async #report(): Promise<unknown> {
    const { mesh, store, ingress, clock, servedBy } = this.#ports;
    try {
      this.#status = statusOf(
        {
          identity: this.#identity,
          mesh: mesh.name,
          servedBy,
          now: clock.now(),
          published: this.#published ?? nothingPublished,
          publishedRejection: this.#decision.publishedRejection,
          roots: this.#retention.roots,
          remarks: [...this.#unknownRoots.remarks, ...this.#retention.remarks],
          revocation: this.#publication?.revocation,
          renewalTime: this.#published?.credential?.renewalTime,
          lastRotationTime: this.#rotations.lastTime,
          lastRenewRequest: this.#renewal.answered,
          received: this.#hasReceived,
          rejection: this.#decision.rejection,
          sourceError: this.#sourceError,
          connection: mesh.connection,
          storeError: this.#storeError ?? this.#storeProblem,
          uses: store.usesOf(this.#identity),
          conflicts: store.conflictsOf?.(this.#identity) ?? [],
          served: ingress?.servedOf(this.#identity),
        },
        this.#status,
      );
      this.#hasLooked = true;
      await store.report(this.#identity, this.#status);
      return undefined;
    } catch (error) {
      this.#storeFailed(error);
      return error;
    }
  }

  /** For the source: what the mesh says now. */
  take(offer: Offer): void {
    if (offer.kind === "credential") {
      const { serialNumber, notAfter } = offer.credential.chain[0];
      this.#logger.log("CredentialReceived", { serialNumber, notAfter });
      this.#decision = { ...this.#decision, candidate: offer.credential };
      this.#rotations.received(offer.receivedMs);
      this.#hasReceived = true;
      this.#sourceError = undefined;
      this.#renewal.received();
    } else {
      this.#sourceFailed(offer.error);
    }
    this.wake();
  }

  /** Logged once for each new failure: an outage is one line, however often it is tried again. */
  #sourceFailed(error: unknown): void {
    const before = this.#sourceError;
    this.#sourceError = error ?? new Error("the adapter failed without saying why");
    if (error instanceof Error && before instanceof Error && error.message === before.message) return;
    if (errorCode(error) === "ATTACHE_INTERNAL") this.#logger.log("Bug", { what: "watching", err: error });
    else this.#logger.log("NoCredential", { err: error });
  }

  #storeFailed(error: unknown): void {
    this.#ports.observer.storeError(errorCode(error));
  }

  get #logger(): Logger {
    const { logger, mesh } = this.#ports;
    const { namespace, name } = this.#identity.metadata;
    return logger.child({ namespace, name, mesh: mesh.name });
  }
}
