import { once } from "node:events";
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Clock } from "../../../../src/mesh/adapter.ts";
import type { Answer, ApiRequest } from "./api.ts";

/** PEM. */
export interface ServerTls {
  readonly key: string;
  readonly cert: string;
  /** The CA of client certificates, which are then required (`verify_incoming`). */
  readonly clientCa?: string;
}

interface ServerOptions {
  /** 0 for any that is free. */
  readonly port: number;
  readonly clock: Clock;
  readonly tls?: ServerTls;
  /** `undefined`: never answers. */
  readonly answer: (request: ApiRequest) => Promise<Answer | undefined>;
}

/** An HTTP server on 127.0.0.1. */
export async function startServer(options: ServerOptions): Promise<AsyncDisposable & { port: number }> {
  const server = createServer(options.tls, (request, response) => {
    serve(request, response, options).catch((error: unknown) => {
      // A client that has left is no failure.
      if (response.destroyed) return;
      response.writeHead(500).end(String(error));
    });
  });
  server.listen(options.port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : options.port,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

function createServer(tls: ServerTls | undefined, listener: Listener): Server {
  if (tls === undefined) return createHttpServer(listener);
  const { key, cert, clientCa } = tls;
  const clients = clientCa === undefined ? {} : { ca: clientCa, requestCert: true };
  return createHttpsServer({ key, cert, ...clients }, listener);
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  { answer, clock }: ServerOptions,
): Promise<void> {
  const left = new AbortController();
  response.once("close", () => left.abort());
  const url = new URL(request.url ?? "/", "http://127.0.0.1");
  const token = request.headers["x-consul-token"];
  const answered = await answer({
    path: url.pathname,
    query: url.searchParams,
    token: typeof token === "string" ? token : undefined,
    signal: left.signal,
  });
  if (answered === undefined) return;
  const { status, headers, body, cutAt } = answered;
  const length = Buffer.byteLength(body);
  response.writeHead(status, { date: clock.now().toUTCString(), "content-length": length, ...headers });
  if (cutAt === undefined) response.end(body);
  else response.write(body.slice(0, cutAt), () => response.destroy());
}
