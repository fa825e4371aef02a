import type { Server } from "@grpc/grpc-js";
import { ServerCredentials } from "@grpc/grpc-js";
import { chmod, rm } from "node:fs/promises";
import { socketPathMaxBytes } from "../kit/unix-socket.ts";

/**
 * Lets a server listen on a Unix socket that all users may connect to; a file that is left over there is removed.
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
