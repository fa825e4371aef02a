import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply } from "fastify";
import type { Clock } from "../clock.ts";
import { contentTypes, formatFor } from "../telemetry/exposition.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { State } from "../telemetry/state.ts";
import { ServerError } from "./errors.ts";
import { contentType, failureOf, refuse } from "./failure.ts";
import { boundedServer } from "./http-server.ts";
import { type Finding, liveness, readiness } from "./probes.ts";

export interface ServerOptions {
  readonly listen: ListenOptions;
  readonly metrics: Metrics;
  readonly state: State;
  readonly logger: Logger;
  readonly clock: Clock;
}

export interface ListenOptions {
  /** An address of this machine, or a name of it. */
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
}

/** To dispose of it ends it within a second: requests under way have so long to be answered. */
export interface RunningServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
}

const graceMs = 1_000;

/**
 * Serves `/livez`, `/readyz` and `/metrics` to whoever asks with GET or HEAD; nothing here changes anything.
 * @throws ServerError `ATTACHE_SERVER_LISTEN` if the address cannot be listened on.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { listen, clock } = options;
  const app = await createApp(options);
  try {
    await app.listen(listen);
  } catch (cause) {
    await app.close();
    throw cannotListen(listen, cause);
  }
  const { address, port } = app.server.address() as AddressInfo;
  return { address, port, [Symbol.asyncDispose]: () => close(app, clock) };
}

/** fastify comes only when something is to be served: it is a large part of the start of a process. */
async function createApp({ metrics, state, logger }: ServerOptions): Promise<FastifyInstance> {
  const { fastify } = await import("fastify");
  const app = fastify({
    serverFactory: boundedServer,
    clientErrorHandler: refuse,
    frameworkErrors: (error, _request, reply) => void fail(error, reply),
    // What is still asked while the server ends is answered like anything else.
    return503OnClosing: false,
  });
  let wasReady = false;

  app.addHook("onRequest", (request, reply, done) => {
    void reply.header("Cache-Control", "no-store");
    if (request.method === "GET" || request.method === "HEAD") done();
    else done(new ServerError("ATTACHE_SERVER_METHOD", `${request.method} is not served here`));
  });
  app.get("/livez", (request, reply) => answer(reply, liveness(state), isVerbose(request.query)));
  app.get("/readyz", (request, reply) => {
    const finding = readiness(state, wasReady);
    wasReady ||= finding.passes;
    return answer(reply, finding, isVerbose(request.query));
  });
  app.get("/metrics", ({ headers }, reply) => {
    const format = formatFor(headers.accept);
    return reply.type(contentTypes[format]).send(Readable.from(metrics.exposition(format)));
  });
  app.setNotFoundHandler(() => {
    throw new ServerError("ATTACHE_SERVER_NOT_FOUND", "there is nothing at this path");
  });
  app.setErrorHandler((error, _request, reply) => fail(error, reply));
  return app;

  function fail(error: unknown, reply: FastifyReply): FastifyReply {
    const { status, body, isBug } = failureOf(error);
    if (isBug) logger.error({ err: error }, "bug: a request failed; please report");
    if (status === 405) void reply.header("Allow", "GET, HEAD");
    // Whatever else the connection brings is not read.
    return reply.code(status).header("Connection", "close").type(contentType).send(body);
  }
}

/** As Kubernetes' own servers do: `ok` is enough unless something fails or more is asked for. */
function answer(reply: FastifyReply, { passes, lines }: Finding, verbose: boolean): FastifyReply {
  const text = passes && !verbose ? "ok" : lines.join("\n");
  return reply
    .code(passes ? 200 : 503)
    .type("text/plain; charset=utf-8")
    .send(`${text}\n`);
}

function isVerbose(query: unknown): boolean {
  return typeof query === "object" && query !== null && "verbose" in query;
}

async function close(app: FastifyInstance, clock: Clock): Promise<void> {
  const closed = new AbortController();
  const force = clock.sleep(graceMs, closed.signal).then(
    () => app.server.closeAllConnections(),
    () => undefined,
  );
  await app.close();
  closed.abort();
  await force;
}

function cannotListen({ host, port }: ListenOptions, cause: unknown): ServerError {
  const { code, message } =
    cause instanceof Error ? (cause as NodeJS.ErrnoException) : { code: undefined, message: String(cause) };
  const reason = reasons.get(code) ?? message;
  return new ServerError("ATTACHE_SERVER_LISTEN", `cannot serve on ${host}:${port}: ${reason}`, { cause });
}

const reasons: ReadonlyMap<string | undefined, string> = new Map([
  ["EADDRINUSE", "the port is in use"],
  ["EADDRNOTAVAIL", "no interface of this machine has the address"],
  ["EACCES", "this user may not listen on the port"],
  ["ENOTFOUND", "the name has no address"],
]);
