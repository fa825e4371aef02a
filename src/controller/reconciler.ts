import type { Due, TimerQueue } from "../runtime/timer-queue.ts";
import { distrustedOf } from "../api/distrust.ts";
import { keyOf, type MeshCertificate, type Status } from "../api/mesh-certificate.ts";
import { type Limits, type Rejection } from "../credentials/candidate.ts";
import type { Credential } from "../credentials/credential.ts";
import { admit } from "../credentials/policies.ts";
import { type Retention, retain } from "../credentials/trust-bundle.ts";
import { AttacheError } from "../errors/attache-error.ts";
import type { Code } from "../errors/codes.ts";
import type { Clock } from "../runtime/clock.ts";
import { Backoff } from "../runtime/backoff.ts";
import { MeshError } from "../mesh/errors.ts";
import { nothingPublished, type Published, readBack } from "../render/read-back.ts";
import { render } from "../render/render.ts";
import type { Ingress } from "../ingress/ingress.ts";
import type { Semaphore } from "../runtime/semaphore.ts";
import type { Applied, Store } from "../store/store.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Allow } from "./allow.ts";
import { type Authorization, authorize } from "./authorization.ts";
import { statusOf } from "./conditions.ts";
import { LeafRolloutGate } from "./leaf-rollout-gate.ts";
import type { Observer } from "./observer.ts";
import type { OpenMesh } from "./open-mesh.ts";
import { rotationCause } from "./rotation.ts";
import type { RotationBatcher } from "./rotation-batcher.ts";
import type { FairQueue } from "./fair-queue.ts";
import { Renewal } from "./renewal.ts";
import { type MintToken, type Offer, Source } from "./source.ts";

export interface ReconcilerPorts {
  readonly mesh: OpenMesh;
  readonly store: Store;
  /** Absent where the store is none that an ingress reads. */
  readonly ingress?: Ingress | undefined;
  readonly clock: Clock;
  readonly timers: TimerQueue<Reconciler>;
  /** For rounds: what each holds in memory must not come to thousands of times as much when all begin at once. */
  readonly rounds: Semaphore;
  readonly logger: Logger;
  readonly observer: Observer;
  readonly serviceAccountToken: MintToken;
  readonly allow: Allow;
  readonly renewals: FairQueue;
  readonly rotations: RotationBatcher;
  readonly installation: string;
  readonly clockSkewMs: number;
  readonly limits: Limits;
}

/**
 * Keeps what is published for one identity in step with its mesh, until it is stopped.
 *
 * It is level-triggered: whatever happens (a credential, a failure, drift, a root that is due to retire) rings, and
 * each round gathers what is known, judges it, applies the target and reports. A round that finds everything as it
 * should be writes nothing. However often it is rung meanwhile, one more round follows. Between rounds nothing
 * waits here, which keeps 10,000 of them small.
 */
export class Reconciler {
  #identity: MeshCertificate;
  readonly #ports: ReconcilerPorts;
  readonly #storeBackoff: Backoff;
  readonly #claim: Authorization;
  readonly #renewal: Renewal;
  readonly #source: Source;
  readonly #leafHold: LeafRolloutGate;

  /** The rounds that are under way, or what must end before the first. */
  #working: Promise<void> | undefined;
  #watching: Promise<void> | undefined;
  #isRung = true;
  #isStopped = false;
  /** Made when there is something to be called off. */
  #calledOff: AbortController | undefined;

  /** The last credential from the mesh that was not admitted yet: it may be once time has passed. */
  #offered: Credential | undefined;
  #offeredAt: Date | undefined;
  #received = false;
  #rejection: Rejection | undefined;
  #sourceError: unknown;
  #storeError: unknown;
  /** What the store told with its last success. */
  #storeProblem: Applied["problem"];
  #reportError: unknown;
  /** The last good one: what has to be published, whatever the mesh says next. */
  #good: Credential | undefined;
  #published: Published | undefined;
  /** Why what is published from before would not be published now. */
  #misfit: Rejection | undefined;
  #retention: Retention = { bundle: [], roots: [] };
  /** How long the leaf of the last good one waits yet; 0 when it is published. */
  #leafWaitMs = 0;
  #lastRotationTime: string | undefined;
  #status: Status | undefined;
  #hasLooked = false;

  constructor(identity: MeshCertificate, ports: ReconcilerPorts) {
    this.#identity = withoutStatus(identity);
    this.#ports = ports;
    this.#storeBackoff = new Backoff(ports.clock);
    this.#claim = authorize(identity, ports.mesh, ports.allow);
    this.#status = identity.status;
    this.#lastRotationTime = identity.status?.lastRotationTime;
    this.#renewal = new Renewal(ports.renewals, identity.status?.lastRenewRequest);
    this.#source = this.#sourceOf(identity);
    this.#leafHold = new LeafRolloutGate(ports.clock);
  }

  get identity(): MeshCertificate {
    return this.#identity;
  }

  /** The status as last computed, also when the store did not take it. */
  get status(): Status | undefined {
    return this.#status;
  }

  /** Whether the status was computed here, and is not that of a process before. */
  get hasLooked(): boolean {
    return this.#hasLooked;
  }

  /** Begins as soon as `before` has ended. */
  start(before: Promise<unknown>): void {
    this.#working = before.then(() => this.#work());
    if (this.#claim.kind === "refused") this.#take({ kind: "failed", error: this.#claim.error });
  }

  /** Resolves after a round that is under way: what it writes is complete. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#ports.timers.clear(this);
    this.#calledOff?.abort();
    this.#source.stop();
    await this.#working;
    await this.#watching;
    this.#ports.ingress?.forget(this.#identity);
  }

  /** The identity has other metadata; its UID and its spec are the same. */
  update(identity: MeshCertificate): void {
    this.#identity = withoutStatus(identity);
    this.ring();
  }

  /** Something outside may have changed: who uses the identity, what is published, or the connection to the mesh. */
  ring(): void {
    this.#isRung = true;
    if (!this.#isStopped) this.#working ??= this.#work();
  }

  async #work(): Promise<void> {
    const { rounds } = this.#ports;
    try {
      while (this.#isRung && !this.#isStopped) await rounds.run(() => this.#turn());
    } catch (error) {
      this.#logger.error({ err: error }, "bug: a round failed; please report");
    } finally {
      this.#working = undefined;
    }
  }

  async #turn(): Promise<void> {
    // It may have waited for long.
    if (this.#isStopped) return;
    this.#isRung = false;
    this.#ports.timers.clear(this);
    this.#rest(await this.#round());
  }

  /** What goes on after a round. */
  #rest(alarms: Due): void {
    if (this.#isStopped) return;
    this.#watch();
    this.#renew();
    this.#ports.timers.schedule(this, alarms);
  }

  /** The mesh is asked once it is known what is published, from which some adapters go on. */
  #watch(): void {
    if (this.#watching !== undefined || this.#published === undefined || this.#claim.kind === "refused")
      return;
    if (this.#published.credential === undefined) this.#renewal.begin(this.#identity);
    this.#watching = this.#source.run();
  }

  #renew(): void {
    if (this.#watching === undefined || !this.#renewal.isDue(this.#identity)) return;
    this.#calledOff ??= new AbortController();
    void this.#renewal
      .ask(this.#ports.mesh.name, () => this.#identity, this.#source, this.#calledOff.signal)
      .then((hadTurn) => hadTurn && this.ring());
  }

  #sourceOf(identity: MeshCertificate): Source {
    const { mesh, clock, serviceAccountToken } = this.#ports;
    return new Source(identity, {
      mesh,
      serviceAccountToken,
      clock,
      current: () => (this.#renewal.isUnderWay ? undefined : (this.#good ?? this.#published?.credential)),
      onOffer: (offer) => this.#take(offer),
    });
  }

  get #logger(): Logger {
    const { logger, mesh } = this.#ports;
    return logger.child({ identity: keyOf(this.#identity), mesh: mesh.name });
  }

  #take(offer: Offer): void {
    if (offer.kind === "credential") {
      this.#offered = offer.credential;
      this.#offeredAt = offer.receivedAt;
      this.#received = true;
      this.#sourceError = undefined;
      this.#renewal.received();
    } else {
      this.#failed("mesh", offer.error, this.#sourceError);
      this.#sourceError = offer.error;
    }
    this.ring();
  }

  /** Returns when to look again although nothing has happened. */
  async #round(): Promise<Due> {
    try {
      await this.#gather();
      this.#judgePublished();
      this.#judge();
      await this.#apply();
      this.#storeError = undefined;
    } catch (error) {
      this.#failed("store", error, this.#storeError);
      this.#storeError = error;
    }
    if (this.#isAboutToAsk) return { afterMs: firstWordMs };
    const reportError = await this.#report();
    const error = this.#storeError ?? reportError;
    if (error !== undefined) {
      return { afterMs: Math.min(this.#storeBackoff.failed(error), this.#leafWaitMs || Infinity) };
    }
    this.#storeBackoff.succeeded();
    return this.#nextLook();
  }

  /** Whether all that could be reported is that the mesh was not asked yet: its answer may be there in a moment. */
  get #isAboutToAsk(): boolean {
    const hasNothing = this.#published !== undefined && this.#published.credential === undefined;
    return (
      hasNothing &&
      this.#watching === undefined &&
      this.#claim.kind === "granted" &&
      this.#status === undefined
    );
  }

  /** Once: what is published from before. */
  async #gather(): Promise<void> {
    if (this.#published !== undefined) return;
    const { store, clock } = this.#ports;
    const published = readBack(this.#identity, await store.read(this.#identity), clock.now());
    this.#published = published;
    const { credential } = published;
    if (credential !== undefined) this.#retention = this.#retain(credential, published);
  }

  /** What is published from before is good if it would be admitted now. */
  #judgePublished(): void {
    const credential = this.#published?.credential;
    if (this.#good !== undefined || credential === undefined || this.#claim.kind === "refused") return;
    this.#misfit = this.#verdict(credential);
    if (this.#misfit === undefined) this.#good = credential;
  }

  #judge(): void {
    const offered = this.#offered;
    if (offered === undefined) return;
    const rejection = this.#verdict(offered, this.#published?.credential);
    if (rejection === undefined) {
      this.#good = offered;
      this.#offered = undefined;
    } else if (rejection.message !== this.#rejection?.message) {
      this.#ports.observer.rejected({ mesh: this.#ports.mesh.name, policy: rejection.policy });
      this.#logger.warn(rejection, "credential rejected");
    }
    this.#rejection = rejection;
  }

  #retain(credential: Credential, published: Published): Retention {
    const { mesh, clock } = this.#ports;
    return retain({
      listed: credential.bundle,
      published: published.bundle,
      previouslyRetained: published.retained,
      retainMs: mesh.retainMs,
      distrusted: distrustedOf(this.#identity),
      now: clock.now(),
    });
  }

  #verdict(credential: Credential, published?: Credential): Rejection | undefined {
    const { mesh, clock, clockSkewMs, limits } = this.#ports;
    const claim = this.#claim;
    const verdict = admit({
      credential,
      expected: {
        ...(claim.kind === "granted" && { spiffeId: claim.expected }),
        ...(mesh.trustDomain !== undefined && { trustDomain: mesh.trustDomain }),
      },
      allowed: claim.kind === "granted" ? claim.allowed : [],
      ...(published && { published }),
      now: clock.now(),
      clockSkewMs,
      limits,
    });
    return verdict.kind === "rejected" ? verdict.rejection : undefined;
  }

  async #apply(): Promise<void> {
    if (this.#good === undefined) return;
    const { mesh, store, installation, observer } = this.#ports;
    const { alpnProtocols } = mesh;
    const before = this.#published ?? nothingPublished;
    const credential = this.#due(this.#good, before);
    const retention = this.#retain(credential, before);
    const target = render({
      identity: this.#identity,
      credential,
      retention,
      installation,
      ...(alpnProtocols !== undefined && { alpnProtocols }),
    });
    const { writes, problem } = await store.apply(this.#identity, target);
    observer.applied(writes);
    if (problem !== undefined) this.#failed("store", problem, this.#storeProblem);
    this.#storeProblem = problem;
    this.#retention = retention;
    this.#misfit = undefined;
    this.#published = { credential, bundle: retention.bundle, retained: retainedOf(retention) };
    this.#tellRotation(before.credential, credential, writes);
    this.#expect(credential, writes > 0);
    // The leaf may have waited for just that to be written.
    if (writes > 0 && this.#leafWaitMs > 0) this.ring();
  }

  #expect(credential: Credential, isWritten: boolean): void {
    const [leaf] = credential.chain;
    const { bundle } = this.#retention;
    const [root] = bundle;
    if (root === undefined) return;
    this.#ports.ingress?.expect(this.#identity, {
      leafNotAfter: leaf.notAfter,
      rootNotAfter: root.notAfter,
      fingerprint: [leaf, ...bundle].map(({ fingerprint }) => fingerprint).join(),
      isWritten,
    });
  }

  /** What of `good` is to be published now: a new leaf may have to wait, its roots never do. */
  #due(good: Credential, published: Published): Credential {
    const { ingress, store } = this.#ports;
    const { credential } = published;
    const hold = {
      ...this.#ports,
      isWatched: () => ingress !== undefined && store.usesOf(this.#identity).length > 0,
      isPending: () => ingress?.servedOf(this.#identity).isPending ?? false,
    };
    this.#leafWaitMs = this.#misfit === undefined ? this.#leafHold.waitMs(published, good, hold) : 0;
    return credential === undefined || this.#leafWaitMs === 0 ? good : { ...credential, bundle: good.bundle };
  }

  #tellRotation(before: Credential | undefined, credential: Credential, writes: number): void {
    const { mesh, clock, observer } = this.#ports;
    const cause = rotationCause(before, credential);
    const receivedAt = this.#offeredAt;
    if (cause !== undefined && receivedAt !== undefined) {
      const now = clock.now();
      const [leaf] = credential.chain;
      this.#lastRotationTime = now.toISOString();
      observer.published({
        identity: keyOf(this.#identity),
        mesh: mesh.name,
        cause,
        propagationMs: now.getTime() - receivedAt.getTime(),
      });
      this.#logger.info(
        { cause, serialNumber: leaf.serialNumber, notAfter: leaf.notAfter, writes },
        "published",
      );
    } else if (writes > 0) {
      this.#logger.info({ writes }, "repaired");
    }
    if (this.#leafWaitMs === 0) this.#offeredAt = undefined;
  }

  /** Returns why the store did not take the status; that concerns nobody but whoever reads it. */
  async #report(): Promise<unknown> {
    const { mesh, store, ingress, clock } = this.#ports;
    this.#status = statusOf(
      {
        identity: this.#identity,
        mesh: mesh.name,
        now: clock.now(),
        published: this.#published ?? nothingPublished,
        misfit: this.#misfit,
        roots: this.#retention.roots,
        renewalTime: this.#published?.credential?.renewalTime,
        lastRotationTime: this.#lastRotationTime,
        lastRenewRequest: this.#renewal.answered,
        received: this.#received,
        rejection: this.#rejection,
        sourceError: this.#sourceError,
        connection: mesh.connection,
        storeError: this.#storeError ?? this.#storeProblem,
        uses: store.usesOf(this.#identity),
        served: ingress?.servedOf(this.#identity),
      },
      this.#status,
    );
    this.#hasLooked = true;
    try {
      await store.report(this.#identity, this.#status);
      this.#reportError = undefined;
    } catch (error) {
      this.#failed("status", error, this.#reportError);
      this.#reportError = error;
    }
    return this.#reportError;
  }

  /** Once for each new failure: an outage is one line, however often it is tried again. */
  #failed(what: keyof typeof failures, error: unknown, before: unknown): void {
    const code: Code = MeshError.is(error) || error instanceof AttacheError ? error.code : "ATTACHE_INTERNAL";
    const { mesh, observer } = this.#ports;
    if (what === "mesh") observer.meshError({ mesh: mesh.name, code });
    else observer.storeError(code);
    if (error instanceof Error && before instanceof Error && error.message === before.message) return;
    if (code === "ATTACHE_INTERNAL") this.#logger.error({ err: error }, "bug: please report");
    else this.#logger.warn({ err: error }, failures[what]);
  }

  #nextLook(): Due {
    const now = this.#ports.clock.now();
    const notAfter = this.#published?.credential?.chain[0].notAfter;
    const dates = [this.#retention.nextRetireAt, this.#rejection?.reviewAt, notAfter].filter(
      (date): date is Date => date !== undefined && date > now,
    );
    const [until] = dates.toSorted((one, other) => one.getTime() - other.getTime());
    const isOver = notAfter !== undefined && notAfter <= now;
    const isSpoilt = isOver || this.#rejection !== undefined || this.#misfit !== undefined;
    const afterMs = Math.min(this.#leafWaitMs || Infinity, isSpoilt ? clockCheckMs : Infinity);
    return { at: until, afterMs: afterMs === Infinity ? undefined : afterMs };
  }
}

/** What did not come about, in the words of the log. */
const failures = { mesh: "no credential", store: "not published", status: "status not written" } as const;

/** How long the mesh may take for its first answer before the status says that it is awaited. */
const firstWordMs = 1_000;

/** What a wrong clock has spoilt comes right with the clock, and nobody tells of that: it is looked at so often. */
const clockCheckMs = 60_000;

/** There is a newer one soon. */
function withoutStatus(identity: MeshCertificate): MeshCertificate {
  const { status: _, ...rest } = identity;
  return rest;
}

function retainedOf({ bundle, roots }: Retention): Published["retained"] {
  return bundle.flatMap((certificate, index) => {
    const retireAt = roots[index]?.retireAt;
    return retireAt === undefined ? [] : [{ certificate, retireAt }];
  });
}
