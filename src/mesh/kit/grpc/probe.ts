import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Clock } from "../../../runtime/clock.ts";
import { MeshError } from "../../errors.ts";
import type { Address } from "../address.ts";
import { within } from "../checks.ts";
import { tlsOptions, type Verification } from "./tls.ts";

export interface ProbeOptions {
  readonly address: Address;
  /** Plain text without it. */
  readonly verification: Verification | undefined;
  readonly withinMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Nothing came in time. */
  readonly silent: () => MeshError;
  /** What answers does not speak HTTP/2. */
  readonly somethingElse: () => MeshError;
  /** The connection or the handshake failed. */
  readonly failed: (error: unknown) => unknown;
}

/** What a client of HTTP/2 begins with (RFC 9113, section 3.4), and empty SETTINGS. */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");

/**
 * Connects beside gRPC, which reports UNAVAILABLE for every fault of a connection, and says what is wrong;
 * `undefined` if a server of HTTP/2 answers. Rejects with the signal's reason on its abort.
 */
export async function probeGrpc(options: ProbeOptions): Promise<MeshError | undefined> {
  const { verification, withinMs, clock, signal, silent, somethingElse, failed } = options;
  const socket = open(options);
  const limit = { ms: withinMs, late: silent, clock, signal };
  try {
    return (await within(limit, () => speaksHttp2(socket))) ? undefined : somethingElse();
  } catch (error) {
    if (signal.aborted) throw error;
    if (MeshError.is(error)) return error;
    // A TLS server that gets plain text closes the connection.
    if (verification === undefined && isReset(error)) return somethingElse();
    const known = failed(error);
    if (!MeshError.is(known)) throw known;
    return known;
  } finally {
    socket.destroy();
  }
}

function open({ address: { host, port, socketPath }, verification }: ProbeOptions): Socket {
  const where = socketPath === undefined ? { host, port } : { path: socketPath };
  const socket =
    verification === undefined ? connectPlain(where) : connectTls({ ...where, ...tlsOptions(verification) });
  socket.write(preface);
  return socket;
}

/** Rejects with why nothing came. */
function speaksHttp2(socket: Socket): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  // A server begins with a frame of SETTINGS. ALPN does not tell: servers of Consul speak HTTP/2 without it.
  socket.once("data", (bytes: Buffer) => resolve(bytes[3] === 0x04));
  socket.on("error", reject);
  socket.once("close", () => reject(Object.assign(new Error("closed"), { code: reset })));
  return promise;
}

const reset = "ECONNRESET";

function isReset(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === reset;
}
