import {
  type Check,
  type Credential,
  type Mesh,
  type MeshContext,
  MeshError,
  type WatchOptions,
} from "../../src/mesh/adapter.ts";
import { Backoff } from "../../src/mesh/backoff.ts";
import { Newest } from "../../src/mesh/newest.ts";
import { Assembly } from "./assembly.ts";
import type { IstioIdentity } from "./definition.ts";
import { assertCarries } from "./identity.ts";
import type { Parts } from "./parts.ts";

/** What gives the identity of attaché's own pod: the Istio agent, or the files that it writes. */
export interface Source {
  /** Ends only by throwing: the signal's reason, or a MeshError that says why it can be followed no longer. */
  follow(following: Following): Promise<never>;
  check(): Promise<Check[]>;
}

export interface Following {
  readonly signal: AbortSignal;
  /** Some has come; `complete` when all that was given last could be used. */
  readonly received: (parts: Parts, complete: boolean) => void;
  /** What was given last cannot be used, or is owed. */
  readonly refused: (error: MeshError) => void;
}

/** One identity, attaché's own, and one source of it for all who watch it. */
export class OwnIdentityMesh implements Mesh<IstioIdentity> {
  readonly #source: Source;
  readonly #context: MeshContext;
  readonly #credential = new Newest<Credential>();
  readonly #assembly: Assembly;
  readonly #disposed = new AbortController();
  #following: Promise<void> | undefined;
  #isConnected = false;

  constructor(source: Source, context: MeshContext) {
    this.#source = source;
    this.#context = context;
    this.#assembly = new Assembly(context.clock, (credential) => this.#credential.publish(credential));
  }

  async *watch(identity: IstioIdentity, { signal, ...bearer }: WatchOptions): AsyncGenerator<Credential> {
    this.#following ??= this.#follow();
    const until = AbortSignal.any([signal, this.#disposed.signal]);
    for await (const credential of this.#credential.subscribe(until)) {
      assertCarries(credential, identity, bearer);
      yield credential;
    }
  }

  check(): Promise<Check[]> {
    return this.#source.check();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { name } = this.#context;
    this.#disposed.abort(new MeshError("ATTACHE_MESH_UNREACHABLE", `the mesh ${name} was disconnected`));
    await this.#following;
    this.#assembly[Symbol.dispose]();
  }

  /** Follows the source again and again, until the mesh is disposed of; what has come before stays meanwhile. */
  async #follow(): Promise<void> {
    const { signal } = this.#disposed;
    const backoff = new Backoff(this.#context.clock);
    try {
      for (;;) {
        const error = await this.#followOnce(signal, backoff);
        this.#disconnected(error);
        await backoff.pause(error, signal);
      }
    } catch (error) {
      // The disposal, or a bug of ours; in its case the next watch begins anew.
      this.#following = undefined;
      this.#credential.fail(error);
    }
  }

  /** Resolves with the reason why it could be followed no longer. */
  async #followOnce(signal: AbortSignal, backoff: Backoff): Promise<MeshError> {
    try {
      return await this.#source.follow({
        signal,
        received: (parts, complete) => {
          if (complete) {
            backoff.succeeded();
            this.#connected();
          }
          this.#assembly.add(parts);
        },
        refused: (error) => this.#disconnected(error),
      });
    } catch (error) {
      if (signal.aborted || !MeshError.is(error)) throw error;
      return error;
    }
  }

  #connected(): void {
    if (!this.#isConnected) this.#context.connection({ connected: true });
    this.#isConnected = true;
  }

  #disconnected(error: MeshError): void {
    this.#isConnected = false;
    this.#context.connection({ connected: false, error });
  }
}
