import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { codes, type Code } from "../errors/codes.ts";
import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";

/** The answer to a failed request: a status, and JSON of one form. */
interface RequestFailure {
  readonly status: number;
  readonly body: string;
  /** Whether it is a bug in attaché, to be logged. */
  readonly isBug: boolean;
}

export const contentType = "application/json; charset=utf-8";

export function failureOf(error: unknown): RequestFailure {
  if (error instanceof ServerError) return failure(statuses[error.code], error);
  const { meaning, remedy } = codes.ATTACHE_INTERNAL;
  return { ...failure(500, { code: "ATTACHE_INTERNAL", problem: meaning, remedy }), isBug: true };
}

/** Answers bytes that are not HTTP and so reach no route, and ends the connection. */
export function refuse(error: Error & { readonly code?: string }, socket: Duplex): void {
  if (socket.writable) {
    const status = parserStatuses.get(error.code) ?? 400;
    const { body } = failure(status, refused(status));
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nConnection: close\r\nContent-Type: ${contentType}\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
  socket.destroy();
}

const statuses: Readonly<Record<ServerErrorCode, number>> = {
  ATTACHE_SERVER_BUSY: 503,
  ATTACHE_SERVER_FORBIDDEN: 403,
  ATTACHE_SERVER_HOST: 403,
  ATTACHE_SERVER_LISTEN: 500,
  ATTACHE_SERVER_METHOD: 405,
  ATTACHE_SERVER_NOT_FOUND: 404,
  ATTACHE_SERVER_REQUEST: 400,
  ATTACHE_SERVER_TOKEN: 401,
};

/** As Node itself answers: https://nodejs.org/api/http.html#event-clienterror */
const parserStatuses: ReadonlyMap<string | undefined, number> = new Map([
  ["ERR_HTTP_REQUEST_TIMEOUT", 408],
  ["HPE_CHUNK_EXTENSIONS_OVERFLOW", 413],
  ["HPE_HEADER_OVERFLOW", 431],
]);

function refused(status: number): ServerError {
  return new ServerError("ATTACHE_SERVER_REQUEST", STATUS_CODES[status] ?? "Bad Request");
}

function failure(
  status: number,
  { code, problem, remedy }: Pick<ServerError, "problem" | "remedy"> & { code: string },
): RequestFailure {
  return { status, body: `${JSON.stringify({ error: { code, message: problem, remedy } })}\n`, isBug: false };
}

type ServerErrorCode = Extract<Code, `ATTACHE_SERVER_${string}`>;

/** Why probes and metrics cannot be served, or why one request is not. */
export class ServerError extends AttacheError {
  declare readonly code: ServerErrorCode;

  // eslint-disable-next-line @typescript-eslint/no-useless-constructor -- fewer codes than its parent
  constructor(code: ServerErrorCode, problem: string, options?: AttacheErrorOptions) {
    super(code, problem, options);
  }
}
