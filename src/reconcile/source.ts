import type { Clock } from "../clock.ts";
import { type MeshIdentity, sourceOf } from "../api/mesh-identity.ts";
import type { Credential, ServiceAccountToken, TokenRequest, WatchOptions } from "../mesh/adapter.ts";
import { Backoff } from "../mesh/backoff.ts";
import type { OpenMesh } from "./open-mesh.ts";

/** What a source last said of an identity: a credential, or why there is none. */
export type Offer =
  | { readonly kind: "credential"; readonly credential: Credential; readonly receivedAt: Date }
  | { readonly kind: "failed"; readonly error: unknown };

/** Mints a token of a ServiceAccount in `namespace`. @throws MeshError `ATTACHE_MESH_TOKEN` */
export type MintToken = (namespace: string, request: TokenRequest) => Promise<ServiceAccountToken>;

export interface SourcePorts {
  readonly mesh: OpenMesh;
  readonly serviceAccountToken: MintToken;
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
  identity: MeshIdentity,
  { mesh, serviceAccountToken, clock, current, onOffer }: SourcePorts,
  signal: AbortSignal,
): Promise<void> {
  const { namespace } = identity.metadata;
  const backoff = new Backoff(clock);
  while (!signal.aborted) {
    try {
      const published = current();
      const options: WatchOptions = {
        namespace,
        signal,
        serviceAccountToken: (request) => serviceAccountToken(namespace, request),
        ...(published && { current: published }),
      };
      for await (const credential of mesh.watch(sourceOf(identity).identity, options)) {
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
