import type { AddressInfo } from "node:net";
import type { Metrics } from "../telemetry/metrics.ts";
import { ServerError } from "./errors.ts";
import { type Health, readinessOf } from "./health.ts";

export interface ServerOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly metrics: Metrics;
  readonly health: () => Health;
}

export interface Server extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
}

/** What a probe or a scraper sends is small; whatever is not, is not for us. */
const limits = {
  bodyLimit: 1_024,
  requestTimeout: 10_000,
  connectionTimeout: 30_000,
  keepAliveTimeout: 15_000,
};
const maxConnections = 64;

/**
 * Serves `/livez`, `/readyz` and `/metrics`; nothing here changes anything.
 * @throws ServerError if the address cannot be listened on.
 */
export async function startServer({ listen, metrics, health }: ServerOptions): Promise<Server> {
  const { fastify } = await import("fastify");
  const app = fastify({ ...limits, forceCloseConnections: true, exposeHeadRoutes: true });
  app.server.maxConnections = maxConnections;
  app.get("/livez", (_request, reply) => reply.type("text/plain").send("alive\n"));
  app.get("/readyz", (_request, reply) => {
    const { ready, text } = readinessOf(health());
    return reply
      .code(ready ? 200 : 503)
      .type("text/plain")
      .send(text);
  });
  app.get("/metrics", async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).type("text/plain").send("there is /livez, /readyz and /metrics\n"),
  );
  try {
    await app.listen(listen);
  } catch (cause) {
    await app.close();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ServerError(`cannot listen on ${listen.host}:${listen.port}: ${reason}`, { cause });
  }
  const { address, port } = app.server.address() as AddressInfo;
  return { address, port, [Symbol.asyncDispose]: () => app.close() };
}
