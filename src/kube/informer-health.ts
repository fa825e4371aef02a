import type { Logger } from "../telemetry/logger.ts";
import { ApiError } from "./api-error.ts";

export interface InformerHealth {
  /** `secrets in namespace edge`, for messages. */
  readonly what: string;
  /** Whether all that there is has been seen once, or there is no such kind. */
  readonly isSynced: boolean;
  /**
   * `listing` at the start, then `watching`, or `failing`: it is tried again and again, and `error` says why. `absent`: the API server
   * does not know the kind, for its CRD is not installed; it is asked again now and then.
   */
  readonly state: "listing" | "watching" | "failing" | "absent";
  readonly error?: ApiError;
}

/** Keeps the health of a reflector, and logs each change of it once, not each failure. */
export class HealthRecord {
  readonly #logger: Logger;
  #current: InformerHealth;

  constructor(what: string, logger: Logger) {
    this.#logger = logger;
    this.#current = { what, isSynced: false, state: "listing" };
  }

  get current(): InformerHealth {
    return this.#current;
  }

  synced(): void {
    this.#current = { ...this.#current, isSynced: true };
  }

  watching(): void {
    const { what, state } = this.#current;
    if (state === "failing" || state === "absent") this.#logger.info(`watching ${what} again`);
    this.#be("watching");
  }

  absent(error: unknown): void {
    const { what, state } = this.#current;
    if (state !== "absent") this.#logger.info(`the cluster knows no ${what}; looking for them now and then`);
    this.#be("absent", error instanceof ApiError ? error : undefined);
  }

  failing(error: unknown): void {
    const { what, state, error: last } = this.#current;
    const known = error instanceof ApiError ? error : undefined;
    if (known === undefined) {
      this.#logger.error({ err: error }, `watching ${what} failed for a reason of our own; trying again`);
    } else if (state !== "failing" || last?.code !== known.code) {
      this.#logger.warn({ err: error }, `cannot watch ${what}; trying again`);
    }
    this.#be("failing", known);
  }

  #be(state: InformerHealth["state"], error?: ApiError): void {
    const { what, isSynced } = this.#current;
    this.#current = { what, isSynced, state, ...(error && { error }) };
  }
}
