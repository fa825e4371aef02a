import { createServer, type RequestListener, type Server } from "node:http";

/** Probes and scrapes are small and quick; who needs longer keeps others out. Milliseconds, bytes. */
const bounds = {
  maxHeaderSize: 8 * 1024,
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  /** How often the two above are looked at, which may make each as much longer: every look wakes an idle process. */
  connectionsCheckingInterval: 5_000,
};
const maxConnections = 64;
/** Without a byte in either direction, twice that at worst: also ends a reader who asks for all metrics and takes none. */
const stalledTimeout = 10_000;

/** An HTTP/1.1 server that whoever connects cannot make hold much, or for long. */
export function boundedServer(handler: RequestListener): Server {
  const server = createServer(bounds, handler);
  server.maxConnections = maxConnections;
  server.timeout = stalledTimeout;
  return server;
}
