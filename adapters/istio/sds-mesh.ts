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
import { followAgent } from "./agent-session.ts";
import { Assembly } from "./assembly.ts";
import { checkAgent } from "./check.ts";
import type { IstioIdentity } from "./definition.ts";
import { assertCarries } from "./identity.ts";

/** The Istio agent of attaché's own pod: one identity, and one connection for all who watch it. */
export class SdsMesh implements Mesh<IstioIdentity> {
  readonly #socket: string;
  readonly #context: MeshContext;
  readonly #credential = new Newest<Credential>();
  readonly #assembly: Assembly;
  readonly #disposed = new AbortController();
  #following: Promise<void> | undefined;
  #isConnected = false;

  constructor(socket: string, context: MeshContext) {
    this.#socket = socket;
    this.#context = context;
    this.#assembly = new Assembly(context.clock, (credential) => this.#credential.publish(credential));
  }

  async *watch(identity: IstioIdentity, { signal }: WatchOptions): AsyncGenerator<Credential> {
    this.#following ??= this.#follow();
    const until = AbortSignal.any([signal, this.#disposed.signal]);
    for await (const credential of this.#credential.subscribe(until)) {
      assertCarries(credential, identity);
      yield credential;
    }
  }

  check(): Promise<Check[]> {
    return checkAgent(this.#socket, this.#context.clock);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { name } = this.#context;
    this.#disposed.abort(new MeshError("ATTACHE_MESH_UNREACHABLE", `the mesh ${name} was disconnected`));
    await this.#following;
    this.#assembly[Symbol.dispose]();
  }

  /** Connects again and again, until the mesh is disposed of; what has come before stays meanwhile. */
  async #follow(): Promise<void> {
    const { signal } = this.#disposed;
    const backoff = new Backoff(this.#context.clock);
    try {
      for (;;) {
        const error = await this.#connect(signal, backoff);
        this.#disconnected(error);
        await backoff.pause(error, signal);
      }
    } catch (error) {
      // The disposal, or a bug of ours; in its case the next watch begins anew.
      this.#following = undefined;
      this.#credential.fail(error);
    }
  }

  /** Resolves with the reason why the connection ended. */
  async #connect(signal: AbortSignal, backoff: Backoff): Promise<MeshError> {
    try {
      return await followAgent({
        socket: this.#socket,
        clock: this.#context.clock,
        signal,
        received: (part, complete) => {
          if (complete) {
            backoff.succeeded();
            this.#connected();
          }
          this.#assembly.add(part);
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
