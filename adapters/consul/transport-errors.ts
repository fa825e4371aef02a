import { MeshError } from "../../src/mesh/adapter.ts";
import { connectionError, type ConnectionRemedies } from "../../src/mesh/kit/connection-errors.ts";
import { codeOf } from "../../src/mesh/kit/errors.ts";

/** Whom an error of a connection is about, in an operator's words. */
interface Destination {
  readonly url: string;
  /** The Unix socket that is used instead of host and port. */
  readonly socketPath?: string;
  /** Of what its port is: "HTTP API", "gRPC API". */
  readonly what: string;
  /** Where its address is configured: "`address` or CONSUL_HTTP_ADDR". */
  readonly setting: string;
}

/** Why no whole answer came, as an error of the mesh; an error without a system or TLS code is returned: a bug in attaché. */
export function transportError(error: unknown, destination: Destination): unknown {
  const code = codeOf(error);
  if (code === undefined) return error;
  const { url, what, setting } = destination;
  if (!code.startsWith("HPE_")) return connectionError(error, url, remediesFor(code, destination));
  return new MeshError("ATTACHE_MESH_MALFORMED", `${url} does not speak HTTP as it should (${code})`, {
    remedy: `Check that ${setting} is that of Consul's ${what}, and whether it wants https://.`,
    cause: error,
  });
}

function remediesFor(code: string, { socketPath, what, setting }: Destination): ConnectionRemedies {
  const tls = {
    name: "Set `tls.serverName` to a name that Consul's certificate carries, e.g. server.dc1.consul, or correct the address.",
    time: "Renew Consul's server certificate, and compare the clocks of both machines.",
    plainText: `The port may be one of plain text: check whether ${setting} needs http:// or another port (with TLS: HTTP 8501, gRPC 8503).`,
    client:
      "Consul refuses attaché's client certificate: check `tls.certFile` and `tls.keyFile`, and Consul's `verify_incoming`.",
    untrusted:
      "Give the CA of Consul's server certificate as `tls.caFile` (on Kubernetes: Secret <fullname>-ca-cert, key tls.crt).",
    dns: `Check the host in ${setting}, and the DNS.`,
  };
  if (socketPath !== undefined) return { ...tls, network: socketRemedy(code, socketPath, what) };
  return {
    ...tls,
    refused: `Check that Consul runs and that ${setting} has the port of its ${what}.`,
    reset:
      "Look whether Consul restarts, has too many connections (limits.http_max_conns_per_client), or wants https://.",
    network: `Check ${setting}, the network in between, and that Consul runs.`,
  };
}

function socketRemedy(code: string, path: string, what: string): string {
  const listener = what.startsWith("gRPC") ? "grpc" : "http";
  return code === "EACCES"
    ? `Let attaché write to the socket ${path} (Consul: unix_sockets.mode, .user and .group).`
    : `Check that the agent runs and listens on ${path} (Consul: addresses.${listener} = "unix://${path}").`;
}
