import { type MeshCertificate, sourceOf } from "../api/mesh-certificate.ts";
import type { Limits } from "../credentials/candidate.ts";
import { readThrough } from "../credentials/certificates.ts";
import type { Credential } from "../credentials/credential.ts";
import { codes } from "../errors/codes.ts";
import { errorCode, MeshError } from "../mesh/errors.ts";
import type { ServiceAccountToken, TokenRequest } from "../mesh/port.ts";
import { unlessAborted } from "../runtime/abort.ts";
import { delayMs } from "../runtime/backoff.ts";
import type { Clock } from "../runtime/clock.ts";
import { Semaphore } from "../runtime/semaphore.ts";
import { withTimeout } from "../runtime/timeout.ts";
import type { Requeue, Worker } from "../runtime/worker.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import type { Observer } from "./observer.ts";
import type { OpenMesh } from "./open-mesh.ts";

/** What a source last said of an identity: a credential, or why there is none. */
export type Offer =
  | {
      readonly kind: "credential";
      readonly credential: Credential;
      /** When it came, as `clock.elapsedMs()` counts. */
      readonly receivedMs: number;
    }
  | { readonly kind: "failed"; readonly error: unknown };

/** Mints a token of a ServiceAccount in `namespace`. @throws MeshError `ATTACHE_MESH_TOKEN` */
export type MintToken = (namespace: string, request: TokenRequest) => Promise<ServiceAccountToken>;

/**
 * How many identities ask one mesh at the same time. Each that has its first answer makes room for the next,
 * and namespaces take turns, so that thousands of identities in one do not delay the first leaf of another.
 */
const maxAsking = 32;

/** What the identities of one mesh that ask it have in common. */
export class Asking {
  readonly turns = new Semaphore(maxAsking);
  /** When a watch last had its first credential, by `elapsedMs()`. */
  answeredMs = -Infinity;
}

/** A mesh that does not answer one identity must not keep it from answering others. In milliseconds. */
const longestTurnMs = 2_000;

/** Runs the watches at the meshes: each for as long as it lasts, and then again. */
export type Watches = Worker<Source>;

export interface SourcePorts {
  readonly mesh: OpenMesh;
  readonly serviceAccountToken: MintToken;
  readonly clock: Clock;
  readonly watches: Watches;
  readonly limits: Limits;
  readonly observer: Pick<Observer, "meshRequest">;
  /** Of the mesh: who may ask it now. */
  readonly asking: Asking;
}

/** Whom a source is for. */
export interface SourceConsumer {
  /**
   * The credential that the mesh continues from; without it, some issue a new leaf. Read at each start of a
   * watch.
   */
  readonly current: Credential | undefined;
  take(offer: Offer): void;
}

/**
 * What the mesh offers for one identity. It never waits for the consumer of the offers: the newest one
 * counts.
 */
export class Source {
  readonly #identity: MeshCertificate;
  readonly #ports: SourcePorts;
  readonly #consumer: SourceConsumer;
  #answered: (() => void) | undefined;

  constructor(identity: MeshCertificate, ports: SourcePorts, consumer: SourceConsumer) {
    this.#identity = identity;
    this.#ports = ports;
    this.#consumer = consumer;
  }

  /**
   * Watches until it is stopped, again and again with back-off when a watch ends, and hands on whatever
   * comes.
   */
  start(): void {
    this.#ports.watches.enqueue(this);
  }

  /** Ends the watch; resolves when it has ended. */
  async stop(): Promise<void> {
    await this.#ports.watches.remove(this);
  }

  /** Ends the watch and begins another one at once; resolves when the mesh has answered that. */
  again(): Promise<void> {
    return new Promise((resolve) => {
      this.#answered = resolve;
      void this.stop();
      this.start();
    });
  }

  /**
   * One watch; for the worker. That it ends is a failure in any case, as there may always be a newer
   * credential.
   * @throws what the mesh threw, unless it gave a credential before: then the back-off begins again.
   */
  async watch(signal: AbortSignal): Promise<Requeue | undefined> {
    const { clock, limits } = this.#ports;
    using turn = await this.#turn(signal);
    const askedMs = clock.elapsedMs();
    const tookMs = () => (hasOffered ? undefined : clock.elapsedMs() - askedMs);
    let hasOffered = false;
    try {
      for await (const credential of this.#credentials(signal)) {
        if (!isCredential(credential)) throw foreign();
        // A larger one is rejected before anything is asked of its roots.
        if (credential.bundle.length <= limits.bundleCertificates) await readThrough(credential.bundle);
        signal.throwIfAborted();
        turn.dispose();
        this.#offer({ kind: "credential", credential, receivedMs: clock.elapsedMs() }, tookMs());
        hasOffered = true;
      }
    } catch (thrown) {
      signal.throwIfAborted();
      const error = asError(thrown);
      this.#offer({ kind: "failed", error }, tookMs());
      if (!hasOffered) throw error;
      return { requeueAfterMs: delayMs(1, error, clock.random()) };
    }
    // No restart of the back-off here: a mesh that gives one credential in each watch would be asked without
    // end.
    signal.throwIfAborted();
    const error = ended();
    this.#offer({ kind: "failed", error }, tookMs());
    throw error;
  }

  /** Resolves when it may ask the mesh; its turn ends when it is disposed of, or after {@link longestTurnMs}. */
  async #turn(signal: AbortSignal): Promise<DisposableStack> {
    const { asking, clock } = this.#ports;
    const turn = new DisposableStack();
    turn.use(await asking.turns.acquire(signal, this.#identity.metadata.namespace));
    const { signal: over } = turn.use(withTimeout(longestTurnMs, () => turnIsOver, clock));
    over.addEventListener("abort", () => turn.dispose(), { once: true });
    return turn;
  }

  /** As the mesh yields them, until `signal` aborts: also where the mesh does not heed it. */
  async *#credentials(signal: AbortSignal): AsyncGenerator {
    const { mesh, serviceAccountToken } = this.#ports;
    const { namespace } = this.#identity.metadata;
    const published = this.#consumer.current;
    const watch = mesh.watch(sourceOf(this.#identity).identity, {
      namespace,
      signal,
      serviceAccountToken: (request) => serviceAccountToken(namespace, request),
      ...(published && { current: published }),
    });
    const iterator = (await unlessAborted(watch, signal))[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next: IteratorResult<unknown, unknown> = await unlessAborted(iterator.next(), signal);
        if (next.done === true) return;
        // What waited when the watch was ended is of that watch.
        signal.throwIfAborted();
        yield next.value;
      }
    } finally {
      // Not awaited: a generator that hangs would never return.
      void Promise.resolve(iterator.return?.()).catch(() => undefined);
    }
  }

  #offer(offer: Offer, ms: number | undefined): void {
    const { mesh, observer, asking, clock } = this.#ports;
    const code = offer.kind === "credential" ? "OK" : errorCode(offer.error);
    observer.meshRequest({ mesh: mesh.name, code, ms });
    if (code === "OK" && ms !== undefined) asking.answeredMs = clock.elapsedMs();
    this.#consumer.take(offer);
    this.#answered?.();
  }
}

const turnIsOver = new Error("its turn is over");

/** The longest chain that is looked at; real ones have two to four certificates. */
const chainMax = 100;

/** By its shape: a plug-in may bring its own copies of all classes. */
function isCredential(value: unknown): value is Credential {
  try {
    if (typeof value !== "object" || value === null) return false;
    const { key, chain, bundle } = value as Partial<Record<keyof Credential, unknown>>;
    const isKey = typeof key === "object" && key !== null && "type" in key && key.type === "private";
    if (!isKey || !areCertificates(chain) || !areCertificates(bundle)) return false;
    return chain.length > 0 && chain.length <= chainMax;
  } catch {
    // What cannot even be looked at is none.
    return false;
  }
}

function areCertificates(value: unknown): value is readonly object[] {
  return Array.isArray(value) && value.every(isCertificate);
}

function isCertificate(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { fingerprint, x509, notAfter } = value as Readonly<Record<string, unknown>>;
  return typeof fingerprint === "string" && typeof x509 === "function" && notAfter instanceof Date;
}

/** A plug-in may throw anything, also what cannot be looked at. */
function asError(thrown: unknown): Error {
  try {
    if (MeshError.is(thrown) ? Object.hasOwn(codes, thrown.code) : thrown instanceof Error)
      return thrown as Error;
    const text = typeof thrown === "string" ? `: ${sanitizePeerText(thrown)}` : "";
    return new TypeError(`the adapter threw ${typeOf(thrown)} in place of an error${text}`);
  } catch {
    return new TypeError("the adapter threw an object that cannot be read");
  }
}

function typeOf(value: unknown): string {
  return value === null ? "null" : typeof value;
}

function foreign(): MeshError {
  return new MeshError("ATTACHE_MESH_MALFORMED", "the adapter yields something that is no credential", {
    remedy: "`watch()` must yield what `assembleCredential()` returns; report it to the adapter's authors.",
  });
}

function ended(): MeshError {
  return new MeshError("ATTACHE_MESH_UNAVAILABLE", "the adapter has ended the watch without an error", {
    remedy: "`watch()` must go on until its signal aborts; report it to the adapter's authors.",
  });
}
