import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { transportError } from "../transport-errors.ts";
import { tlsOptions, type Verification } from "../../../src/mesh/kit/grpc/tls.ts";
import { addressText } from "../../../src/mesh/kit/address.ts";
import type { Server } from "./servers.ts";

/** Longer than a packet that is lost takes to be sent again, twice. */
const probeMs = 5_000;

/** What a client of HTTP/2 begins with (RFC 9113, section 3.4), and empty SETTINGS. */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");

/**
 * Connects to a server beside gRPC, which says UNAVAILABLE of all that may be wrong with a connection, and
 * tells what is; `undefined` if a server of HTTP/2 is there.
 */
export async function probe(
  server: Server,
  verification: Verification | undefined,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<MeshError | undefined> {
  const url = addressText(server);
  const over = new AbortController();
  const socket = open(server, verification);
  try {
    const first = await Promise.race([
      firstBytes(socket),
      clock.sleep(probeMs, AbortSignal.any([signal, over.signal])),
    ]);
    if (first === undefined) return silent(url);
    return isHttp2(first) ? undefined : somethingElse(url, verification !== undefined);
  } catch (error) {
    if (signal.aborted) throw error;
    if (verification === undefined && isReset(error)) return somethingElse(url, false);
    const { socketPath } = server;
    const known = transportError(error, {
      ...(socketPath !== undefined && { socketPath }),
      url,
      what: "gRPC API",
      setting: "`addresses` or CONSUL_GRPC_ADDR",
    });
    if (!MeshError.is(known)) throw known;
    return known;
  } finally {
    over.abort();
    socket.destroy();
  }
}

function open({ host, port, socketPath }: Server, verification: Verification | undefined): Socket {
  if (verification === undefined) {
    const socket = connectPlain(socketPath === undefined ? { host, port } : { path: socketPath });
    socket.write(preface);
    return socket;
  }
  const socket = connectTls({ host, port, ...tlsOptions(verification) });
  socket.write(preface);
  return socket;
}

/** Rejects with why there are none. */
function firstBytes(socket: Socket): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  socket.once("data", resolve);
  socket.once("error", reject);
  socket.once("close", () => reject(Object.assign(new Error("closed"), { code: reset })));
  return promise;
}

const reset = "ECONNRESET";

function isReset(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === reset;
}

/** A frame of SETTINGS, with which servers begin. */
function isHttp2(bytes: Buffer): boolean {
  return bytes[3] === 0x04;
}

function silent(url: string): MeshError {
  return new MeshError("ATTACHE_MESH_TIMEOUT", `${url} says nothing for ${probeMs / 1000} s`, {
    remedy:
      "Check the network in between, and that `addresses` or CONSUL_GRPC_ADDR names a gRPC port of a server.",
  });
}

/** A TLS server answers plain text with an alert, or closes; an HTTP server sends a page. */
function somethingElse(url: string, isSecure: boolean): MeshError {
  return isSecure
    ? new MeshError("ATTACHE_MESH_MALFORMED", `${url} is no gRPC port`, {
        remedy:
          "Name the port of gRPC with TLS, usually 8503 (on Kubernetes 8502), in `addresses` or CONSUL_GRPC_ADDR.",
      })
    : new MeshError("ATTACHE_MESH_TLS", `${url} does not speak gRPC in plain text`, {
        remedy: "Leave http:// out if the port speaks TLS, or name the one for plain text, usually 8502.",
      });
}
