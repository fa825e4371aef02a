import type { Requeue, Worker } from "../runtime/worker.ts";
import type { IdentityRef } from "../store/store.ts";

/**
 * What is done for one identity, to keep it published or to withdraw it: a key of the controller's work
 * queue.
 */
export interface Task {
  readonly identity: IdentityRef;
  /** Whatever it throws is tried again with back-off. */
  reconcile(): Promise<Requeue | undefined>;
  /** Logs a new failure of `reconcile`. */
  failed(error: unknown): void;
  /** Resolves when what is under way is complete. */
  stop(): Promise<void>;
}

export type Tasks = Worker<Task>;
