import type { Clock } from "../clock.ts";
import type { Credential, WatchOptions } from "../mesh/adapter.ts";
import { Backoff } from "../mesh/backoff.ts";
import type { OpenMesh } from "./open-mesh.ts";

/** What a source last said of an identity: a credential, or why there is none. */
export type Offer =
  | { readonly kind: "credential"; readonly credential: Credential; readonly receivedAt: Date }
  | { readonly kind: "failed"; readonly error: unknown };

export interface SourcePorts {
  readonly mesh: OpenMesh;
  readonly clock: Clock;
  /** What is published now. */
  readonly current: () => Credential | undefined;
  readonly onOffer: (offer: Offer) => void;
}

/**
 * Watches an identity at its mesh until `signal` aborts, again and again with back-off where a watch ends, and
 * hands on whatever comes. It never waits for whoever takes the offers: the newest one counts.
 */
export async function watchSource(
  identity: unknown,
  { mesh, clock, current, onOffer }: SourcePorts,
  signal: AbortSignal,
): Promise<void> {
  const backoff = new Backoff(clock);
  while (!signal.aborted) {
    try {
      const published = current();
      const options: WatchOptions = { signal, ...(published && { current: published }) };
      for await (const credential of mesh.watch(identity, options)) {
        backoff.succeeded();
        onOffer({ kind: "credential", credential, receivedAt: clock.now() });
      }
    } catch (error) {
      if (!isOver(signal)) onOffer({ kind: "failed", error });
      await backoff.pause(error, signal).catch(() => undefined);
    }
  }
}

/** A call, because the compiler takes it that what was false before the watch is false after it. */
function isOver({ aborted }: AbortSignal): boolean {
  return aborted;
}
