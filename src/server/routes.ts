import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import { boundedServer } from "./connections.ts";
import { contentType, failureOf, refuse, ServerError } from "./failure.ts";

export interface ListenOptions {
  /** An address of this machine, or a name of it. */
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
}

export interface BoundAddress {
  readonly address: string;
  readonly port: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly type: string;
  /** Asked for one after the other, as fast as the client reads. */
  readonly pieces: Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Ends the answer. */
  readonly signal?: AbortSignal;
}

export interface Request {
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  /** Aborts when the client has gone, or was answered. */
  readonly closed: AbortSignal;
}

export type Route = (request: Request) => HttpAnswer | Promise<HttpAnswer>;
export type Routes = ReadonlyMap<string, Route>;

export interface RoutesOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** For each answer, errors too. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Called before the route. @throws ServerError to refuse the request. */
  readonly admit?: (request: Request) => Promise<void> | void;
}

const graceMs = 1_000;

/**
 * Serves `routes`, by their paths, to GET and HEAD. To dispose of it ends it within a second: requests under
 * way have so long to be answered.
 * @throws ServerError `ATTACHE_SERVER_LISTEN` if the address cannot be listened on.
 */
export async function serveRoutes(
  listen: ListenOptions,
  routes: Routes,
  options: RoutesOptions,
): Promise<BoundAddress & AsyncDisposable> {
  const server = boundedServer((request, response) => {
    void serve(routes, request, response, options);
  });
  server.on("clientError", refuse);
  try {
    await once(server.listen(listen), "listening");
  } catch (cause) {
    if (listen.host !== "::" || !isWithoutIpv6(cause)) throw cannotListen(listen, cause);
    return serveRoutes({ ...listen, host: "0.0.0.0" }, routes, options);
  }
  const { address, port } = server.address() as AddressInfo;
  return { address, port, [Symbol.asyncDispose]: () => close(server, options.clock) };
}

async function serve(
  routes: Routes,
  request: IncomingMessage,
  response: ServerResponse,
  options: RoutesOptions,
): Promise<void> {
  response.setHeader("Cache-Control", "no-store");
  for (const [name, value] of Object.entries(options.headers ?? {})) response.setHeader(name, value);
  const closed = new AbortController();
  response.once("close", () => closed.abort(new Error("the client has gone, or was answered")));
  try {
    const { status, type, pieces, headers, signal } = await answerTo(routes, request, closed.signal, options);
    response.writeHead(status, { "Content-Type": type, ...headers });
    if (request.method === "HEAD") response.end();
    else await pipeline(Readable.from(pieces), response, { ...(signal && { signal }) });
  } catch (error) {
    // The client has gone, was too slow, or was cut off because attaché ends.
    if (error === closed.signal.reason) return;
    if (error instanceof Error && "code" in error && gone.has(error.code)) return;
    fail(error, response, options.logger);
  }
}

const gone: ReadonlySet<unknown> = new Set(["ERR_STREAM_PREMATURE_CLOSE", "ABORT_ERR"]);

async function answerTo(
  routes: Routes,
  { method = "", url = "", headers }: IncomingMessage,
  closed: AbortSignal,
  { admit }: RoutesOptions,
): Promise<HttpAnswer> {
  if (method !== "GET" && method !== "HEAD")
    throw new ServerError("ATTACHE_SERVER_METHOD", `${method} is not served here`);
  const parsed = URL.parse(url, "http://attache");
  if (parsed === null) throw new ServerError("ATTACHE_SERVER_REQUEST", "the path is malformed");
  const request = { url: parsed, headers, closed };
  await admit?.(request);
  const route = routes.get(parsed.pathname);
  if (route === undefined) throw new ServerError("ATTACHE_SERVER_NOT_FOUND", "there is nothing at this path");
  return route(request);
}

function fail(error: unknown, response: ServerResponse, logger: Logger): void {
  const { status, body, isBug } = failureOf(error);
  if (isBug) logger.log("Bug", { what: "a request", err: error });
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
