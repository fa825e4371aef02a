import type { MeshContext } from "../port.ts";
import { Backoff, type BackoffOptions } from "../../runtime/backoff.ts";
import { MeshError } from "../errors.ts";

export interface ReconnectLoopOptions {
  readonly context: Pick<MeshContext, "name" | "clock" | "connection">;
  /** One connection for as long as it lasts. Ends only by throwing: a MeshError is reported, and another one is made. */
  readonly connect: (signal: AbortSignal) => Promise<never>;
  /** Why no other one is made: the disposal, or a bug of ours. */
  readonly ended: (error: unknown) => void;
  readonly backoff?: BackoffOptions;
}

/** A mesh's connection: made again with back-off until it is disposed of, and its state reported. */
export class ReconnectLoop implements AsyncDisposable {
  readonly #options: ReconnectLoopOptions;
  readonly #backoff: Backoff;
  readonly #disposed = new AbortController();
  #keeping: Promise<void> | undefined;
  #isConnected = false;

  constructor(options: ReconnectLoopOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.context.clock, options.backoff);
  }

  /** Aborts when it is disposed of. */
  get signal(): AbortSignal {
    return this.#disposed.signal;
  }

  /** Begins to connect, unless that was done before; after a bug of ours it begins anew. */
  keep(): void {
    this.#keeping ??= this.#keep();
  }

  /** To be called when something came of it: a connection that was merely accepted may break at once again. */
  markConnected(): void {
    this.#backoff.succeeded();
    if (!this.#isConnected) this.#options.context.connection({ connected: true });
    this.#isConnected = true;
  }

  /** To be called when what came of it is of no use, though the connection goes on. */
  markDisconnected(error: MeshError): void {
    this.#isConnected = false;
    this.#options.context.connection({ connected: false, error });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { name } = this.#options.context;
    this.#disposed.abort(new MeshError("ATTACHE_MESH_UNREACHABLE", `the mesh ${name} was disconnected`));
    await this.#keeping;
  }

  async #keep(): Promise<void> {
    try {
      for (;;) {
        const error = await this.#connect();
        this.markDisconnected(error);
        await this.#backoff.pause(error, this.signal);
      }
    } catch (error) {
      this.#keeping = undefined;
      this.#options.ended(error);
    }
  }

  /** Resolves with the reason why the connection ended. */
  async #connect(): Promise<MeshError> {
    try {
      return await this.#options.connect(this.signal);
    } catch (error) {
      if (this.signal.aborted || !MeshError.is(error)) throw error;
      return error;
    }
  }
}

/** {@link ReconnectLoop} as version 0.1.0 named it, for plug-ins that were built with it. */
export class KeptConnection extends ReconnectLoop {
  isThere(): void {
    this.markConnected();
  }

  isAway(error: MeshError): void {
    this.markDisconnected(error);
  }
}
