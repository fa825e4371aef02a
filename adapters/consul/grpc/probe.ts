import { type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { addressText } from "../../../src/mesh/kit/address.ts";
import { probeGrpc } from "../../../src/mesh/kit/grpc/probe.ts";
import type { Verification } from "../../../src/mesh/kit/grpc/tls.ts";
import { transportError } from "../transport-errors.ts";
import type { Server } from "./servers.ts";

/** Longer than a packet that is lost takes to be sent again, twice. */
const withinMs = 5_000;

/** Says what is wrong with the connection to a server; `undefined` if one of gRPC answers. */
export function probe(
  server: Server,
  verification: Verification | undefined,
  ports: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<MeshError | undefined> {
  const url = addressText(server);
  const { socketPath } = server;
  const destination = {
    url,
    ...(socketPath !== undefined && { socketPath }),
    what: "gRPC API",
    setting: "`addresses` or CONSUL_GRPC_ADDR",
  };
  return probeGrpc({
    address: server,
    verification,
    withinMs,
    ...ports,
    silent: () => silent(url),
    somethingElse: () => somethingElse(url, verification !== undefined),
    failed: (error) => transportError(error, destination),
  });
}

function silent(url: string): MeshError {
  return new MeshError("ATTACHE_MESH_TIMEOUT", `${url} says nothing for ${withinMs / 1000} s`, {
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
