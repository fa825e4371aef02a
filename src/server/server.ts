import { once } from "node:events";
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  createServer,
  type RequestListener,
} from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import { contentTypes, formatFor, type Metrics } from "../telemetry/metrics.ts";
import type { State } from "../telemetry/state.ts";
import { contentType, failureOf, refuse, ServerError } from "./failure.ts";
import { type Finding, liveness, readiness } from "./probes.ts";

interface ServerOptions {
  readonly listen: ListenOptions;
  readonly metrics: Metrics;
  readonly state: State;
  readonly logger: Logger;
  readonly clock: Clock;
}

interface ListenOptions {
  /** An address of this machine, or a name of it. */
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
}

/** To dispose of it ends it within a second: requests under way have so long to be answered. */
interface RunningServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
}

const graceMs = 1_000;

/**
 * Serves `/livez`, `/readyz` and `/metrics` to any client, by GET or HEAD; nothing here changes anything.
 * @throws ServerError `ATTACHE_SERVER_LISTEN` if the address cannot be listened on.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { listen, clock, logger } = options;
  const routes = routesOf(options);
  const server = boundedServer((request, response) => {
    void serve(routes, request, response, logger);
  });
  server.on("clientError", refuse);
  try {
    await once(server.listen(listen), "listening");
  } catch (cause) {
    throw cannotListen(listen, cause);
  }
  const { address, port } = server.address() as AddressInfo;
  return { address, port, [Symbol.asyncDispose]: () => close(server, clock) };
}

interface Answer {
  readonly status: number;
  readonly type: string;
  /** Pieces are made as fast as the reader takes them. */
  readonly body: Iterable<string> | AsyncIterable<string>;
}

type Route = (url: URL, headers: IncomingHttpHeaders) => Answer;
type Routes = ReadonlyMap<string, Route>;

function routesOf({ metrics, state }: ServerOptions): Routes {
  let wasReady = false;
  return new Map<string, Route>([
    ["/livez", ({ searchParams }) => probe(liveness(state), searchParams.has("verbose"))],
    [
      "/readyz",
      ({ searchParams }) => {
        const finding = readiness(state, wasReady);
        wasReady ||= finding.passes;
        return probe(finding, searchParams.has("verbose"));
      },
    ],
    [
      "/metrics",
      (_url, { accept }) => {
        const format = formatFor(accept);
        return { status: 200, type: contentTypes[format], body: metrics.exposition(format) };
      },
    ],
  ]);
}

/** As Kubernetes' own servers do: `ok` is enough unless something fails or more is asked for. */
function probe({ passes, lines }: Finding, isVerbose: boolean): Answer {
  const text = passes && !isVerbose ? "ok" : lines.join("\n");
  return { status: passes ? 200 : 503, type: "text/plain; charset=utf-8", body: [`${text}\n`] };
}

async function serve(
  routes: Routes,
  request: IncomingMessage,
  response: ServerResponse,
  logger: Logger,
): Promise<void> {
  response.setHeader("Cache-Control", "no-store");
  try {
    const { status, type, body } = answerTo(routes, request);
    const pieces = Readable.from(body);
    // A failure before the first piece can still be answered with a status.
    await once(pieces, "readable");
    response.writeHead(status, { "Content-Type": type });
    if (request.method === "HEAD") response.end();
    else await pipeline(pieces, response);
  } catch (error) {
    // The client has gone, or was cut off because attaché ends.
    if (error instanceof Error && "code" in error && error.code === "ERR_STREAM_PREMATURE_CLOSE") return;
    fail(error, response, logger);
  }
}

function answerTo(routes: Routes, { method = "", url = "", headers }: IncomingMessage): Answer {
  if (method !== "GET" && method !== "HEAD")
    throw new ServerError("ATTACHE_SERVER_METHOD", `${method} is not served here`);
  const parsed = URL.parse(url, "http://attache");
  if (parsed === null) throw new ServerError("ATTACHE_SERVER_REQUEST", "the path is malformed");
  const route = routes.get(parsed.pathname);
  if (route === undefined) throw new ServerError("ATTACHE_SERVER_NOT_FOUND", "there is nothing at this path");
  return route(parsed, headers);
}

function fail(error: unknown, response: ServerResponse, logger: Logger): void {
  const { status, body, isBug } = failureOf(error);
  if (isBug) logger.error({ err: error }, "bug: a request failed; please report");
  if (response.headersSent) {
    response.destroy();
    return;
  }
  if (status === 405) response.setHeader("Allow", "GET, HEAD");
  // Whatever else the connection brings is not read.
  response
    .writeHead(status, {
      "Content-Type": contentType,
      "Content-Length": Buffer.byteLength(body),
      Connection: "close",
    })
    .end(body);
}

async function close(server: Server, clock: Clock): Promise<void> {
  const closed = new AbortController();
  const force = clock.sleep(graceMs, closed.signal).then(
    () => server.closeAllConnections(),
    () => undefined,
  );
  await new Promise((resolve) => server.close(resolve));
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

/** An HTTP/1.1 server that bounds what a client can make it hold, and for how long. */
function boundedServer(handler: RequestListener): Server {
  const server = createServer(bounds, handler);
  server.maxConnections = maxConnections;
  server.timeout = stalledTimeout;
  return server;
}
