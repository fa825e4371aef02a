import { isDeepStrictEqual } from "node:util";
import { addresseeOf, isFor } from "../api/addressee.ts";
import { type IdentityKey, keyOf, type MeshCertificate, meshOf } from "../api/mesh-certificate.ts";
import type { Manifest } from "../render/manifest.ts";
import { maybeYield } from "../runtime/time-slice.ts";
import { Worker, type WorkerObserver } from "../runtime/worker.ts";
import type { IdentityRef, StoreEvent } from "../store/store.ts";
import type { QueueState } from "../telemetry/state.ts";
import { type OpenMesh, unknownMesh } from "./open-mesh.ts";
import { Reconciler, type ReconcilerPorts } from "./reconciler.ts";
import { startRenewals } from "./renewal.ts";
import { RotationBatcher } from "./rotation-batcher.ts";
import { Asking } from "./source.ts";
import type { Task } from "./task.ts";
import { Withdrawal } from "./withdrawal.ts";

export interface ControllerPorts extends Omit<ReconcilerPorts, PerMesh | keyof Shared> {
  readonly meshes: ReadonlyMap<string, OpenMesh>;
  /**
   * Whether other installations serve the same store: an identity whose mesh is not configured here may be
   * theirs.
   */
  readonly isStoreShared: boolean;
  /** From one window of rotations to the next; 0: each is published as soon as it is there. */
  readonly rotationWindowMs: number;
  readonly workerObserver?: WorkerObserver;
}

/** The mesh, and where its identities wait for it. */
type PerMesh = "mesh" | "asking" | "renewals";

/** What the reconcilers have in common, and nothing else has. */
type Shared = Pick<ReconcilerPorts, "tasks" | "watches" | "rotations">;

/**
 * The one limit of concurrency between a mesh and the store, in memory and requests. The store has none of its own, and
 * the client of the API server has as many connections: no reconcile waits for the connection of another.
 */
const maxConcurrentReconciles = 32;

/** The set of reconcilers: one for each identity that the store has, each on its own. */
export class Controller {
  readonly #ports: ControllerPorts;
  readonly #reconcilers = new Map<IdentityKey, Reconciler>();
  /** What works for an identity, by its UID: another one of the same name is another one. */
  readonly #tasks = new Map<string, Task>();
  readonly #shared: Shared;
  /** By the name of the mesh: its reconcilers share them. */
  readonly #meshPorts = new Map<string, ReconcilerPorts>();
  readonly #synced = Promise.withResolvers<undefined>();
  #isSynced = false;
  #isRunning = false;

  constructor(ports: ControllerPorts) {
    const { clock, rotationWindowMs, workerObserver } = ports;
    this.#ports = ports;
    this.#shared = {
      tasks: new Worker({
        reconcile: async (task, signal) => {
          // The verdicts of many that begin in one turn would make it long.
          await maybeYield();
          return signal.aborted ? undefined : task.reconcile();
        },
        onError: (task, error) => task.failed(error),
        groupOf: ({ identity }) => identity.metadata.namespace,
        clock,
        maxConcurrentReconciles,
        ...(workerObserver && { observer: workerObserver }),
      }),
      watches: new Worker({
        reconcile: (source, signal) => source.watch(signal),
        // A source has said so itself.
        onError: () => undefined,
        clock,
        maxConcurrentReconciles: Infinity,
      }),
      rotations: new RotationBatcher(rotationWindowMs),
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

  /** The identities that wait for their turn. */
  get queue(): QueueState {
    const { depth, oldestMs } = this.#shared.tasks;
    return { depth, oldestMs };
  }

  /** To be called when the connection to a mesh has changed. */
  wake(mesh: string): void {
    for (const reconciler of this.reconcilers) if (meshOf(reconciler.identity) === mesh) reconciler.wake();
  }

  /**
   * Follows the store until `signal` aborts, and then until what is being written is complete.
   * @throws StoreError when the store cannot be followed any more.
   */
  async run(signal: AbortSignal): Promise<void> {
    const stopAtOnce = () => void this.#stop();
    signal.addEventListener("abort", stopAtOnce);
    this.#isRunning = true;
    using _served = this.#ports.ingress?.onChange((key) => this.#reconcilers.get(key)?.wake());
    try {
      for await (const event of this.#ports.store.watch(signal)) {
        await this.#handle(event);
        await maybeYield();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#isRunning = false;
      signal.removeEventListener("abort", stopAtOnce);
      await this.#stop();
    }
  }

  async #stop(): Promise<void> {
    const { tasks, watches } = this.#shared;
    const stopped = this.#tasks.values().map((task) => task.stop());
    const workers = [tasks, watches, ...this.#meshPorts.values().map(({ renewals }) => renewals)];
    await Promise.all([...stopped, ...workers.map((worker) => worker[Symbol.asyncDispose]())]);
  }

  /** What is read of an identity at the start is waited for: so one page of it is in memory at once. */
  #handle(event: StoreEvent): Promise<void> | undefined {
    switch (event.type) {
      case "identity":
        return this.#reconcile(event.identity, event.manifests);
      case "gone":
        this.#withdraw(event.identity);
        break;
      case "drift":
        this.#reconcilers.get(event.key)?.drifted();
        break;
      case "uses":
        this.#reconcilers.get(event.key)?.wake();
        break;
      case "invalid":
        this.#ports.logger.log("IdentityInvalid", { err: event.error });
        break;
      case "synced":
        this.#isSynced = true;
        this.#synced.resolve(undefined);
        break;
      default:
        event satisfies never;
    }
    return undefined;
  }

  #reconcile(identity: MeshCertificate, manifests?: readonly Manifest[]): Promise<void> | undefined {
    const key = keyOf(identity);
    const before = this.#reconcilers.get(key);
    const isOurs = this.#isOurs(identity);
    if (before !== undefined && isOurs && isSame(before.identity, identity)) {
      before.update(identity);
      return;
    }
    const ended = before && this.#end(before);
    if (!isOurs) return;
    const reconciler = new Reconciler(identity, this.#portsOf(meshOf(identity)));
    const found = manifests && reconciler.found(manifests);
    this.#reconcilers.set(key, reconciler);
    // Namespaces take turns: that needs all that there is at the start.
    const begun = Promise.all([this.#replace(identity, reconciler, ended), this.#synced.promise, found]);
    void begun.then(() => reconciler.start());
    return found;
  }

  #portsOf(mesh: string): ReconcilerPorts {
    const { clock, meshes } = this.#ports;
    const ports = this.#meshPorts.get(mesh) ?? {
      ...this.#ports,
      ...this.#shared,
      mesh: meshes.get(mesh) ?? unknownMesh(mesh, [...meshes.keys()]),
      asking: new Asking(),
      renewals: startRenewals(clock),
    };
    this.#meshPorts.set(mesh, ports);
    return ports;
  }

  /** What is of another installation, or may be, has no reconciler here, and so no status. */
  #isOurs(identity: MeshCertificate): boolean {
    const addressee = addresseeOf(identity.spec);
    if (!this.#ports.isStoreShared && addressee.installation === undefined) return true;
    return isFor(addressee, this.#ports);
  }

  #withdraw(identity: IdentityRef): void {
    const before = this.#reconcilers.get(keyOf(identity));
    if (before !== undefined && uidOf(before.identity) === uidOf(identity)) void this.#end(before);
    const { store, logger } = this.#ports;
    const { tasks } = this.#shared;
    const onDone = () => this.#forget(identity, withdrawal);
    const withdrawal: Withdrawal = new Withdrawal(identity, { store, logger, tasks, onDone });
    void this.#replace(identity, withdrawal).then(() => withdrawal.start());
  }

  async #end(reconciler: Reconciler): Promise<void> {
    const { identity } = reconciler;
    this.#reconcilers.delete(keyOf(identity));
    await reconciler.stop();
    this.#forget(identity, reconciler);
  }

  /**
   * Resolves once what worked for the identity before has ended: there is never more than one that writes for
   * it.
   */
  async #replace(identity: IdentityRef, task: Task, ended?: Promise<void>): Promise<void> {
    const before = this.#tasks.get(uidOf(identity));
    this.#tasks.set(uidOf(identity), task);
    await Promise.all([before?.stop(), ended]);
  }

  #forget(identity: IdentityRef, task: Task): void {
    if (this.#tasks.get(uidOf(identity)) === task) this.#tasks.delete(uidOf(identity));
  }
}

/** Whether a reconciler can go on: what it does depends on nothing else. */
function isSame(one: MeshCertificate, other: MeshCertificate): boolean {
  return uidOf(one) === uidOf(other) && isDeepStrictEqual(one.spec, other.spec);
}

function uidOf({ metadata }: IdentityRef): string {
  return metadata.uid ?? "";
}
