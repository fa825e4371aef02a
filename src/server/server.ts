import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Clock } from "../runtime/clock.ts";
import { Semaphore } from "../runtime/semaphore.ts";
import type { Logger } from "../telemetry/logger.ts";
import { contentTypes, type ExpositionFormat, formatFor, type Metrics } from "../telemetry/metrics.ts";
import type { State } from "../telemetry/state.ts";
import { contentType, failureOf, refuse, ServerError } from "./failure.ts";
import { boundedServer } from "./connections.ts";
import { sharedPage } from "./metrics-page.ts";
import { type Finding, liveness, readiness } from "./probes.ts";

interface ServerOptions {
  readonly listen: ListenOptions;
  /**
   * Serves the probes alone, so that clients of `listen` cannot delay the kubelet. Default: only `listen`
   * does.
   */
  readonly probes?: ListenOptions | undefined;
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

interface Address {
  readonly address: string;
  readonly port: number;
}

/** To dispose of it ends it within a second: requests under way have so long to be answered. */
interface RunningServer extends Address, AsyncDisposable {
  readonly probes: Address | undefined;
}

const graceMs = 1_000;

/**
 * Serves `/livez`, `/readyz` and `/metrics` to any client, by GET or HEAD; nothing here changes anything.
 * @throws ServerError `ATTACHE_SERVER_LISTEN` if the address cannot be listened on.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { listen, probes } = options;
  await using stack = new AsyncDisposableStack();
  const ended = new AbortController();
  stack.defer(() => ended.abort(new Error("the server has ended")));
  const routes = probeRoutes(options);
  const metrics = metricsRoutes(options, ended.signal);
  const all = stack.use(await serveOn(listen, new Map([...routes, ...metrics]), options));
  const own = probes && stack.use(await serveOn(probes, routes, options));
  const owned = stack.move();
  return { ...all, probes: own, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function serveOn(
  listen: ListenOptions,
  routes: Routes,
  options: Pick<ServerOptions, "clock" | "logger">,
): Promise<Address & AsyncDisposable> {
  const { clock, logger } = options;
  const server = boundedServer((request, response) => {
    void serve(routes, request, response, logger);
  });
  server.on("clientError", refuse);
  try {
    await once(server.listen(listen), "listening");
  } catch (cause) {
    if (listen.host !== "::" || !isWithoutIpv6(cause)) throw cannotListen(listen, cause);
    return serveOn({ ...listen, host: "0.0.0.0" }, routes, options);
  }
  const { address, port } = server.address() as AddressInfo;
  return { address, port, [Symbol.asyncDispose]: () => close(server, clock) };
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly pieces: readonly string[];
  /** Ends the answer. */
  readonly signal?: AbortSignal;
}

type Route = (url: URL, headers: IncomingHttpHeaders) => Answer | Promise<Answer>;
type Routes = ReadonlyMap<string, Route>;

function probeRoutes({ state }: ServerOptions): Routes {
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
  ]);
}

/**
 * One page is rendered at a time: it takes megabytes and tens of milliseconds, and the port has no
 * authentication.
 */
function metricsRoutes({ metrics, clock }: ServerOptions, ended: AbortSignal): Routes {
  const turns = new Semaphore(1);
  const pageOf = (format: ExpositionFormat) =>
    sharedPage(() => turns.run(() => Array.fromAsync(metrics.exposition(format))), { clock, ended });
  const pages = { prometheus: pageOf("prometheus"), openmetrics: pageOf("openmetrics") };
  return new Map<string, Route>([
    [
      "/metrics",
      async (_url, { accept }) => {
        const format = formatFor(accept);
        return { status: 200, type: contentTypes[format], ...(await pages[format]()) };
      },
    ],
  ]);
}

/** As Kubernetes' own servers do: `ok` is enough unless something fails or more is asked for. */
function probe({ passes, lines }: Finding, isVerbose: boolean): Answer {
  const text = passes && !isVerbose ? "ok" : lines.join("\n");
  return { status: passes ? 200 : 503, type: "text/plain; charset=utf-8", pieces: [`${text}\n`] };
}

async function serve(
  routes: Routes,
  request: IncomingMessage,
  response: ServerResponse,
  logger: Logger,
): Promise<void> {
  response.setHeader("Cache-Control", "no-store");
  try {
    const { status, type, pieces, signal } = await answerTo(routes, request);
    response.writeHead(status, { "Content-Type": type });
    if (request.method === "HEAD") response.end();
    else await pipeline(Readable.from(pieces), response, { ...(signal && { signal }) });
  } catch (error) {
    // The client has gone, was too slow, or was cut off because attaché ends.
    if (error instanceof Error && "code" in error && gone.has(error.code)) return;
    fail(error, response, logger);
  }
}

const gone: ReadonlySet<unknown> = new Set(["ERR_STREAM_PREMATURE_CLOSE", "ABORT_ERR"]);

function answerTo(
  routes: Routes,
  { method = "", url = "", headers }: IncomingMessage,
): Answer | Promise<Answer> {
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

/** `::` covers both families, where the machine has both. */
function isWithoutIpv6(cause: unknown): boolean {
  const { code = "" } = cause instanceof Error ? (cause as NodeJS.ErrnoException) : {};
  return ["EAFNOSUPPORT", "EADDRNOTAVAIL"].includes(code);
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
