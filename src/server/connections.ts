import { createServer, type RequestListener, type Server } from "node:http";
import type { Socket } from "node:net";

/** Probes and scrapes are small and quick. Milliseconds, bytes. */
const bounds = {
  maxHeaderSize: 8 * 1024,
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  /**
   * How often the two above are checked, which can add as much to each: every check wakes an idle process.
   */
  connectionsCheckingInterval: 5_000,
};

export const maxConnections = 64;

/**
 * Without a byte in either direction, at worst twice that: ends a reader that requests a page and does not
 * read it.
 */
const stalledTimeout = 10_000;

/**
 * An HTTP/1.1 server that bounds what a client can make it hold, and for how long. At the limit of
 * connections, the one that has been idle for longest is closed for a new one: a client that only holds
 * connections keeps no other client out. A connection whose request is incomplete is idle.
 */
export function boundedServer(handler: RequestListener): Server {
  /** In the order in which they became idle. */
  const idle = new Set<Socket>();
  let open = 0;
  const server = createServer(bounds, (request, response) => {
    const { socket } = request;
    idle.delete(socket);
    response.once("close", () => {
      if (!socket.destroyed) idle.add(socket);
    });
    handler(request, response);
  });
  server.timeout = stalledTimeout;
  return server.on("connection", (socket: Socket) => {
    open += 1;
    idle.add(socket);
    socket.once("close", () => {
      open -= 1;
      idle.delete(socket);
    });
    if (open <= maxConnections) return;
    // All others wait for an answer: then the new connection is the only idle one.
    const [oldest = socket] = idle;
    idle.delete(oldest);
    oldest.destroy();
  });
}
