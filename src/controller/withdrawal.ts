import { AttacheError } from "../errors/attache-error.ts";
import type { IdentityRef, Store } from "../store/store.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Task, Tasks } from "./task.ts";

interface WithdrawalPorts {
  readonly store: Store;
  readonly logger: Logger;
  readonly tasks: Tasks;
  readonly onDone: () => void;
}

/** Withdraws what is published for an identity that is gone, as often as it takes. */
export class Withdrawal implements Task {
  readonly identity: IdentityRef;
  readonly #ports: WithdrawalPorts;
  #isStopped = false;

  constructor(identity: IdentityRef, ports: WithdrawalPorts) {
    this.identity = identity;
    this.#ports = ports;
  }

  start(): void {
    if (!this.#isStopped) this.#ports.tasks.enqueue(this);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ports.tasks.remove(this);
  }

  async reconcile(): Promise<undefined> {
    const { store, onDone } = this.#ports;
    await store.withdraw(this.identity);
    this.#logger.log("Withdrawn");
    onDone();
  }

  failed(error: unknown): void {
    if (error instanceof AttacheError) this.#logger.log("NotWithdrawn", { err: error });
    else this.#logger.log("Bug", { what: "not withdrawn", err: error });
  }

  get #logger(): Logger {
    const { namespace, name } = this.identity.metadata;
    return this.#ports.logger.child({ namespace, name });
  }
}
