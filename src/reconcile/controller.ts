import { type IdentityKey, keyOf, type MeshIdentity, meshOf } from "../api/mesh-identity.ts";
import type { Named, StoreEvent } from "../stores/store.ts";
import { type OpenMesh, unknownMesh } from "./open-mesh.ts";
import { Reconciler, type ReconcilerPorts } from "./reconciler.ts";
import { withdraw } from "./withdrawal.ts";

export interface ControllerPorts extends Omit<ReconcilerPorts, "mesh"> {
  readonly meshes: ReadonlyMap<string, OpenMesh>;
}

/** The set of reconcilers: one for each identity that the store has, each on its own. */
export class Controller {
  readonly #ports: ControllerPorts;
  readonly #workers = new Map<IdentityKey, Worker>();
  #isSynced = false;
  #isRunning = false;

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
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
    return [...this.#workers.values()].flatMap(({ reconciler }) => reconciler ?? []);
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
    const over = new AbortController();
    const stopped = AbortSignal.any([signal, over.signal]);
    this.#isRunning = true;
    try {
      for await (const event of this.#ports.store.watch(signal)) this.#handle(event, stopped);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#isRunning = false;
      over.abort();
      await Promise.all([...this.#workers.values()].map(({ done }) => done));
    }
  }

  #handle(event: StoreEvent, signal: AbortSignal): void {
    switch (event.type) {
      case "identity":
        this.#reconcile(event.identity, signal);
        break;
      case "gone":
        this.#withdraw(event.identity, signal);
        break;
      case "drift":
      case "uses":
        this.#workers.get(event.key)?.reconciler?.ring();
        break;
      case "invalid":
        this.#ports.logger.warn({ err: event.error }, "a MeshIdentity cannot be read");
        break;
      case "synced":
        this.#isSynced = true;
        break;
      default:
        event satisfies never;
    }
  }

  #reconcile(identity: MeshIdentity, signal: AbortSignal): void {
    const { meshes } = this.#ports;
    const mesh = meshes.get(meshOf(identity)) ?? unknownMesh(meshOf(identity), [...meshes.keys()]);
    const reconciler = new Reconciler(identity, { ...this.#ports, mesh });
    this.#replace(keyOf(identity), signal, (stopped) => reconciler.run(stopped), reconciler);
  }

  #withdraw(identity: Named, signal: AbortSignal): void {
    const key = keyOf(identity);
    const worker = this.#replace(key, signal, (stopped) => withdraw(identity, this.#ports, stopped));
    void worker.done.then(() => {
      if (this.#workers.get(key) === worker) this.#workers.delete(key);
    });
  }

  /** The one before ends first: there is never more than one that writes for an identity. */
  #replace(
    key: IdentityKey,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<void>,
    reconciler?: Reconciler,
  ): Worker {
    const before = this.#workers.get(key);
    const stop = new AbortController();
    const run = async () => {
      before?.stop.abort();
      await before?.done;
      await work(AbortSignal.any([signal, stop.signal]));
    };
    const done = run().catch((error: unknown) => {
      this.#ports.logger.error({ err: error, identity: key }, "bug: a reconciler ended; please report");
    });
    const worker: Worker = { done, stop, reconciler };
    this.#workers.set(key, worker);
    return worker;
  }
}

interface Worker {
  readonly done: Promise<void>;
  readonly stop: AbortController;
  readonly reconciler: Reconciler | undefined;
}
