import { keyOf } from "../api/mesh-certificate.ts";
import type { Clock } from "../runtime/clock.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { Backoff } from "../runtime/backoff.ts";
import type { IdentityRef, Store } from "../store/store.ts";
import type { Logger } from "../telemetry/logger.ts";

/** Withdraws what is published for an identity that is gone, as often as it takes, until `signal` aborts. */
export async function withdraw(
  identity: IdentityRef,
  { store, clock, logger }: { readonly store: Store; readonly clock: Clock; readonly logger: Logger },
  signal: AbortSignal,
): Promise<void> {
  const backoff = new Backoff(clock);
  while (!signal.aborted) {
    try {
      await store.withdraw(identity);
      logger.info({ identity: keyOf(identity) }, "withdrawn");
      return;
    } catch (error) {
      const level = error instanceof AttacheError ? "warn" : "error";
      if (backoff.failures === 0) logger[level]({ err: error, identity: keyOf(identity) }, "not withdrawn");
      await backoff.pause(error, signal).catch(() => undefined);
    }
  }
}
