import { Backoff, type BackoffOptions } from "../../runtime/backoff.ts";
import { LatestValue } from "../../runtime/latest-value.ts";
import { MeshError, type MeshErrorCode } from "../errors.ts";
import type { MeshContext } from "../port.ts";
import { retrying } from "./retry.ts";

export interface ReconnectLoopOptions {
  readonly context: Pick<MeshContext, "name" | "clock" | "connection">;
  /**
   * One connection for as long as it lasts. A MeshError is reported, and it is called again after a back-off;
   * when it resolves, and something came of the connection, it is called again at once.
   */
  readonly connect: (signal: AbortSignal) => Promise<void>;
  /** Why the loop ends: the disposal, or a bug in attaché. */
  readonly ended: (error: unknown) => void;
  readonly backoff?: BackoffOptions;
  /**
   * A connection that ends sooner than this after {@link ReconnectLoop.markConnected} was none; 0 by default.
   */
  readonly soundAfterMs?: number;
}

/** How far apart those that wait for a connection come back to it: 200 a second. */
const spreadMs = 5;

/** A mesh's connection: made again with back-off until it is disposed of, and its state reported. */
export class ReconnectLoop implements AsyncDisposable {
  readonly #options: ReconnectLoopOptions;
  readonly #backoff: Backoff;
  readonly #disposed = new AbortController();
  readonly #state = new LatestValue<boolean>();
  #keeping: Promise<void> | undefined;
  /** When something came of the present connection first, on the scale of `elapsedMs()`. */
  #soundFromMs = Infinity;
  #waiting = 0;

  constructor(options: ReconnectLoopOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.context.clock, options.backoff);
  }

  /** Aborts when it is disposed of. */
  get signal(): AbortSignal {
    return this.#disposed.signal;
  }

  get isConnected(): boolean {
    return this.#state.value === true;
  }

  /** Begins to connect, unless it has begun before; begins again after a bug in attaché. */
  keep(): void {
    this.#keeping ??= this.#keep();
  }

  /**
   * To be called when something came of it: a connection that was merely accepted may break at once again.
   */
  markConnected(): void {
    const { context, soundAfterMs = 0 } = this.#options;
    this.#soundFromMs = Math.min(this.#soundFromMs, context.clock.elapsedMs() + soundAfterMs);
    if (this.isConnected) return;
    context.connection({ connected: true });
    this.#state.publish(true);
  }

  /** To be called when what came of it is of no use, though the connection goes on. */
  markDisconnected(error: MeshError): void {
    this.suspend();
    this.#options.context.connection({ connected: false, error });
  }

  /** Has {@link retry} wait from now on; why it is disconnected is looked into, and reported then. */
  suspend(): void {
    this.#soundFromMs = Infinity;
    if (this.isConnected) this.#state.publish(false);
  }

  /** Resolves once it is connected, of many at different times. */
  async whenConnected(signal: AbortSignal): Promise<void> {
    if (this.isConnected) return;
    const { clock } = this.#options.context;
    this.#waiting += 1;
    try {
      await firstOf(this.#state, (isConnected) => isConnected, signal);
      await clock.sleep(clock.random() * this.#waiting * spreadMs, signal);
    } finally {
      this.#waiting -= 1;
    }
  }

  /**
   * The result of `work`, which waits until there is a connection, and is tried again after a failure that
   * may pass by itself (the codes of `passing`, unless the mesh asks for a pause).
   * @param work is given a function to call when something came of it; it ends a row of failures.
   * @throws what `work` throws, if it cannot pass, or `maxFailures` times in a row with a connection; the
   *   signal's reason.
   */
  async retry<T>(
    work: (succeeded: () => void) => Promise<T>,
    signal: AbortSignal,
    { passing = mayPass, maxFailures = 3 }: RetryOptions = {},
  ): Promise<T> {
    const backoff = new Backoff(this.#options.context.clock);
    return await retrying(
      async () => {
        await this.whenConnected(signal);
        return await work(() => backoff.succeeded());
      },
      async (error) => {
        const passes = MeshError.is(error) && passing.has(error.code) && error.retryAfterMs === undefined;
        const isOwn = this.isConnected && backoff.failures + 1 >= maxFailures;
        if (signal.aborted || !passes || isOwn) throw error;
        await backoff.pause(error, signal);
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { name } = this.#options.context;
    this.#disposed.abort(new MeshError("ATTACHE_MESH_UNREACHABLE", `the mesh "${name}" was disconnected`));
    await this.#keeping;
  }

  /** One connection, until it is given up; whether something came of it, which ends a row of failures. */
  async #connect(): Promise<boolean> {
    this.#soundFromMs = Infinity;
    try {
      await this.#options.connect(this.signal);
    } finally {
      if (this.#isSound) this.#backoff.succeeded();
    }
    return this.#isSound;
  }

  get #isSound(): boolean {
    return this.#soundFromMs <= this.#options.context.clock.elapsedMs();
  }

  async #keep(): Promise<void> {
    const { context } = this.#options;
    try {
      await retrying(
        async () => {
          while (await this.#connect());
          throw new MeshError(
            "ATTACHE_MESH_UNAVAILABLE",
            `the connection of the mesh "${context.name}" ended`,
          );
        },
        async (error) => {
          if (this.signal.aborted || !MeshError.is(error)) throw error;
          this.markDisconnected(error);
          await this.#backoff.pause(error, this.signal);
        },
      );
    } catch (error) {
      this.#keeping = undefined;
      this.#options.ended(error);
    }
  }
}

export interface RetryOptions {
  readonly passing?: ReadonlySet<MeshErrorCode>;
  readonly maxFailures?: number;
}

/** What a connection meets, too, and reports as its state, or what is over in a moment. */
export const mayPass: ReadonlySet<MeshErrorCode> = new Set<MeshErrorCode>([
  "ATTACHE_MESH_UNREACHABLE",
  "ATTACHE_MESH_UNAVAILABLE",
  "ATTACHE_MESH_TIMEOUT",
]);

/** The first value that `wanted` takes. */
export async function firstOf<T, W extends T = T>(
  values: LatestValue<T>,
  wanted: ((value: T) => value is W) | ((value: T) => boolean),
  signal: AbortSignal,
): Promise<W> {
  for await (const value of values.subscribe(signal)) if (wanted(value)) return value as W;
  throw new TypeError("a subscription ended without an error");
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
