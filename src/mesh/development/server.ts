import { type MethodDefinition, type Server, ServerCredentials } from "@grpc/grpc-js";
import { chmod, rm } from "node:fs/promises";
import type { Clock } from "../../runtime/clock.ts";
import { sleepUntil } from "../../runtime/timer-queue.ts";
import { socketPathMaxBytes } from "../kit/unix-socket.ts";

/**
 * Lets a server listen on a Unix socket that all users may connect to; a file that is left over there is
 * removed.
 * @throws RangeError if the path is too long for the system.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > socketPathMaxBytes) {
    throw new RangeError(
      `the path of the Unix socket ${path} has ${bytes} bytes, and ${socketPathMaxBytes} is the most: use a shorter folder`,
    );
  }
  await rm(path, { force: true });
  await listen(server, `unix://${path}`);
  // As agents do: who may enter the folder may ask.
  await chmod(path, 0o666);
}

/** Resolves with the port; 0 for a Unix socket. */
export function listen(
  server: Server,
  address: string,
  security: ServerCredentials = ServerCredentials.createInsecure(),
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, security, (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

/** Ends all calls and connections at once. */
export function shutDown(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.tryShutdown(() => resolve());
    server.forceShutdown();
  });
}

/** A server that can be stopped, and started again at the same place. */
export interface Restartable<S> extends AsyncDisposable {
  /** `undefined` while it is stopped. */
  readonly current: S | undefined;
  /** Ends the server and all connections. */
  stop(): Promise<void>;
  resume(): Promise<void>;
}

/** @param start starts it, each time at the same place. */
export async function restartable<S extends AsyncDisposable>(
  start: () => Promise<S>,
): Promise<Restartable<S>> {
  let current: S | undefined = await start();
  async function stop(): Promise<void> {
    const ending = current;
    current = undefined;
    await ending?.[Symbol.asyncDispose]();
  }
  return {
    get current() {
      return current;
    },
    stop,
    async resume() {
      current ??= await start();
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** The method, whose answers may also be sent as bytes, for tests of clients. */
export function orBytes<Q, A>(method: MethodDefinition<Q, A>): MethodDefinition<Q, A | Buffer> {
  const serialize = (answer: A | Buffer) =>
    Buffer.isBuffer(answer) ? answer : method.responseSerialize(answer);
  return { ...method, responseSerialize: serialize };
}

/** Issues again at a date, or earlier when asked to. */
export interface RenewalLoop extends AsyncDisposable {
  renew(): void;
}

/**
 * @param dueAt when what was issued last is due.
 * @param issue issues again.
 */
export function keepRenewing(clock: Clock, dueAt: () => Date, issue: () => Promise<unknown>): RenewalLoop {
  const disposed = new AbortController();
  let early = new AbortController();
  async function keep(): Promise<void> {
    for (;;) {
      const signal = AbortSignal.any([disposed.signal, early.signal]);
      await sleepUntil(dueAt(), clock, signal).catch(() => undefined);
      if (disposed.signal.aborted) return;
      // Replaced before the leaf is made: a client that asks meanwhile gets one that is issued after its
      // request.
      early = new AbortController();
      await issue();
    }
  }
  const kept = keep();
  return {
    renew: () => early.abort(),
    async [Symbol.asyncDispose]() {
      disposed.abort();
      await kept;
    },
  };
}
