import type { Clock } from "../runtime/clock.ts";
import { type MeshCertificate, sourceOf } from "../api/mesh-certificate.ts";
import type { Credential } from "../credentials/credential.ts";
import type { ServiceAccountToken, TokenRequest, WatchOptions } from "../mesh/port.ts";
import { Backoff } from "../runtime/backoff.ts";
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
  /** What the mesh shall go on from; without it, some issue a new leaf. Asked at each beginning of a watch. */
  readonly current: () => Credential | undefined;
  readonly onOffer: (offer: Offer) => void;
}

/** What the mesh offers for one identity. It never waits for whoever takes the offers: the newest one counts. */
export class Source {
  readonly #identity: MeshCertificate;
  readonly #ports: SourcePorts;
  #watch = new AbortController();
  #isOver = false;
  #answered: (() => void) | undefined;

  constructor(identity: MeshCertificate, ports: SourcePorts) {
    this.#identity = identity;
    this.#ports = ports;
  }

  /** Watches until it is stopped, again and again with back-off where a watch ends, and hands on whatever comes. */
  async run(): Promise<void> {
    const backoff = new Backoff(this.#ports.clock);
    while (!this.#isOver) {
      this.#watch = new AbortController();
      const watched = this.#watch.signal;
      try {
        for await (const credential of await this.#credentials(watched)) {
          // What waited when the watch was ended is of that watch.
          if (isOver(watched)) break;
          backoff.succeeded();
          this.#offer({ kind: "credential", credential, receivedAt: this.#ports.clock.now() });
        }
      } catch (error) {
        if (isOver(watched)) continue;
        this.#offer({ kind: "failed", error });
        await backoff.pause(error, watched).catch(() => undefined);
      }
    }
  }

  /** Ends the watch, for good. */
  stop(): void {
    this.#isOver = true;
    this.#watch.abort();
  }

  /** Ends the watch and begins another one at once; resolves when the mesh has answered that. */
  again(): Promise<void> {
    return new Promise((resolve) => {
      this.#answered = resolve;
      this.#watch.abort(new Error("it is watched again"));
    });
  }

  #credentials(signal: AbortSignal): Promise<AsyncIterable<Credential>> {
    const { mesh, serviceAccountToken, current } = this.#ports;
    const { namespace } = this.#identity.metadata;
    const published = current();
    const options: WatchOptions = {
      namespace,
      signal,
      serviceAccountToken: (request) => serviceAccountToken(namespace, request),
      ...(published && { current: published }),
    };
    return mesh.watch(sourceOf(this.#identity).identity, options);
  }

  #offer(offer: Offer): void {
    this.#ports.onOffer(offer);
    this.#answered?.();
  }
}

/** A call, because the compiler takes it that what was false before the watch is false after it. */
function isOver({ aborted }: AbortSignal): boolean {
  return aborted;
}
