import { isDeepStrictEqual } from "node:util";
import { TimerQueue } from "../runtime/timer-queue.ts";
import { addresseeOf, isFor } from "../api/addressee.ts";
import { type IdentityKey, keyOf, type MeshCertificate, meshOf } from "../api/mesh-certificate.ts";
import { Semaphore } from "../runtime/semaphore.ts";
import type { IdentityRef, StoreEvent } from "../store/store.ts";
import { TimeSlice } from "../runtime/time-slice.ts";
import { type OpenMesh, unknownMesh } from "./open-mesh.ts";
import { Reconciler, type ReconcilerPorts } from "./reconciler.ts";
import { FairQueue } from "./fair-queue.ts";
import { RotationBatcher } from "./rotation-batcher.ts";
import { withdraw } from "./withdrawal.ts";

export interface ControllerPorts extends Omit<ReconcilerPorts, "mesh" | keyof Shared> {
  readonly meshes: ReadonlyMap<string, OpenMesh>;
  /** Whether other installations serve the same store: an identity whose mesh nobody has configured here may be theirs. */
  readonly isStoreShared: boolean;
  /** From one window of rotations to the next; 0: each is published as soon as it is there. */
  readonly rotationWindowMs: number;
}

/** What the reconcilers have in common, and nobody else. */
type Shared = Pick<ReconcilerPorts, "renewals" | "rotations" | "timers" | "rounds">;

const roundsAtOnce = 64;

/** The set of reconcilers: one for each identity that the store has, each on its own. */
export class Controller {
  readonly #ports: ControllerPorts;
  readonly #reconcilers = new Map<IdentityKey, Reconciler>();
  /** What works for an identity, by its UID: another one of the same name is another one. */
  readonly #workers = new Map<string, Worker>();
  readonly #shared: Shared;
  #isSynced = false;
  #isRunning = false;

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
    this.#shared = {
      renewals: new FairQueue(ports.clock),
      rotations: new RotationBatcher(ports.rotationWindowMs),
      timers: new TimerQueue(ports.clock, (reconciler) => reconciler.ring()),
      rounds: new Semaphore(roundsAtOnce),
    };
  }

  /** Whether all identities that the store had at the start have a reconciler. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Whether the store is being followed. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  get reconcilers(): Reconciler[] {
    return [...this.#reconcilers.values()];
  }

  /** To be called when the connection to a mesh has changed. */
  ring(mesh: string): void {
    for (const reconciler of this.reconcilers) if (meshOf(reconciler.identity) === mesh) reconciler.ring();
  }

  /**
   * Follows the store until `signal` aborts, and then until what is being written is complete.
   * @throws StoreError when the store cannot be followed any more.
   */
  async run(signal: AbortSignal): Promise<void> {
    const stop = () => Promise.all(this.#workers.values().map((worker) => worker.stop()));
    const stopAtOnce = () => void stop();
    signal.addEventListener("abort", stopAtOnce);
    this.#isRunning = true;
    using _served = this.#ports.ingress?.onChange((key) => this.#reconcilers.get(key)?.ring());
    try {
      const slice = new TimeSlice();
      for await (const event of this.#ports.store.watch(signal)) {
        this.#handle(event);
        await slice.maybeYield();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#isRunning = false;
      signal.removeEventListener("abort", stopAtOnce);
      await stop();
    }
  }

  #handle(event: StoreEvent): void {
    switch (event.type) {
      case "identity":
        this.#reconcile(event.identity);
        break;
      case "gone":
        this.#withdraw(event.identity);
        break;
      case "drift":
      case "uses":
        this.#reconcilers.get(event.key)?.ring();
        break;
      case "invalid":
        this.#ports.logger.warn({ err: event.error }, "a MeshCertificate cannot be read");
        break;
      case "synced":
        this.#isSynced = true;
        break;
      default:
        event satisfies never;
    }
  }

  #reconcile(identity: MeshCertificate): void {
    const key = keyOf(identity);
    const before = this.#reconcilers.get(key);
    const isOurs = this.#isOurs(identity);
    if (before !== undefined && isOurs && isSame(before.identity, identity)) {
      before.update(identity);
      return;
    }
    const ended = before && this.#end(before);
    if (!isOurs) return;
    const { meshes } = this.#ports;
    const mesh = meshes.get(meshOf(identity)) ?? unknownMesh(meshOf(identity), [...meshes.keys()]);
    const reconciler = new Reconciler(identity, { ...this.#ports, ...this.#shared, mesh });
    this.#reconcilers.set(key, reconciler);
    this.#replace(identity, ended, (before) => {
      reconciler.start(before);
      return reconciler;
    });
  }

  /** What is of another installation, or may be, is none of our business: it has no reconciler, and so no status of ours. */
  #isOurs(identity: MeshCertificate): boolean {
    const addressee = addresseeOf(identity.spec);
    if (!this.#ports.isStoreShared && addressee.installation === undefined) return true;
    return isFor(addressee, this.#ports);
  }

  #withdraw(identity: IdentityRef): void {
    const before = this.#reconcilers.get(keyOf(identity));
    if (before !== undefined && uidOf(before.identity) === uidOf(identity)) void this.#end(before);
    this.#replace(identity, undefined, (before) => this.#withdrawal(identity, before));
  }

  #withdrawal(identity: IdentityRef, before: Promise<unknown>): Worker {
    const over = new AbortController();
    const done = before
      .then(() => withdraw(identity, this.#ports, over.signal))
      .catch((error: unknown) => {
        const bug = { err: error, identity: keyOf(identity) };
        this.#ports.logger.error(bug, "bug: a withdrawal failed; please report");
      });
    const worker: Worker = {
      stop() {
        over.abort();
        return done;
      },
    };
    void done.then(() => this.#forget(identity, worker));
    return worker;
  }

  async #end(reconciler: Reconciler): Promise<void> {
    const { identity } = reconciler;
    this.#reconcilers.delete(keyOf(identity));
    await reconciler.stop();
    this.#forget(identity, reconciler);
  }

  /** The one before ends first: there is never more than one that writes for an identity. */
  #replace(
    identity: IdentityRef,
    ended: Promise<void> | undefined,
    begin: (before: Promise<unknown>) => Worker,
  ): void {
    const before = this.#workers.get(uidOf(identity))?.stop();
    this.#workers.set(uidOf(identity), begin(Promise.all([before, ended])));
  }

  #forget(identity: IdentityRef, worker: Worker): void {
    if (this.#workers.get(uidOf(identity)) === worker) this.#workers.delete(uidOf(identity));
  }
}

/** What works for an identity. */
interface Worker {
  /** Resolves when what is under way is complete. */
  stop(): Promise<void>;
}

/** Whether a reconciler can go on: what it does depends on nothing else. */
function isSame(one: MeshCertificate, other: MeshCertificate): boolean {
  return uidOf(one) === uidOf(other) && isDeepStrictEqual(one.spec, other.spec);
}

function uidOf({ metadata }: IdentityRef): string {
  return metadata.uid ?? "";
}
