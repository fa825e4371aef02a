import { MeshError } from "../../src/mesh/adapter.ts";
import { isTlsCode } from "../../src/text/tls.ts";

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
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "") return error;
  const { url, socketPath, what, setting } = destination;
  const options = { cause: error };
  if (isTlsCode(code)) {
    return new MeshError("ATTACHE_MESH_TLS", `the TLS handshake with ${url} fails (${code})`, {
      ...options,
      remedy: tlsRemedy(code, destination),
    });
  }
  if (code.startsWith("HPE_")) {
    return new MeshError("ATTACHE_MESH_MALFORMED", `${url} does not speak HTTP as it should (${code})`, {
      ...options,
      remedy: `Check that ${setting} is that of Consul's ${what}, and whether it wants https://.`,
    });
  }
  return new MeshError("ATTACHE_MESH_UNREACHABLE", `${url} cannot be reached (${code})`, {
    ...options,
    remedy: socketPath === undefined ? reachRemedy(code, destination) : socketRemedy(code, socketPath),
  });
}

function tlsRemedy(code: string, { setting }: Destination): string {
  switch (code) {
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "Set `tls.serverName` to a name that Consul's certificate carries, e.g. server.dc1.consul, or correct the address.";
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return "Renew Consul's server certificate, and compare the clocks of both machines.";
    case "EPROTO":
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return `The port may be one of plain text: check whether ${setting} needs http:// or another port (with TLS: HTTP 8501, gRPC 8503).`;
    default:
      return code.includes("ALERT")
        ? "Consul refuses attaché's client certificate: check `tls.certFile` and `tls.keyFile`, and Consul's `verify_incoming`."
        : "Give the CA of Consul's server certificate as `tls.caFile` (on Kubernetes: Secret <fullname>-ca-cert, key tls.crt).";
  }
}

function reachRemedy(code: string, { what, setting }: Destination): string {
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `Check the host in ${setting}, and the DNS.`;
    case "ECONNREFUSED":
      return `Check that Consul runs and that ${setting} has the port of its ${what}.`;
    case "ECONNRESET":
      return "Look whether Consul restarts, has too many connections (limits.http_max_conns_per_client), or wants https://.";
    default:
      return `Check ${setting}, the network in between, and that Consul runs.`;
  }
}

function socketRemedy(code: string, path: string): string {
  return code === "EACCES"
    ? `Let attaché write to the socket ${path} (Consul: unix_sockets.mode, .user and .group).`
    : `Check that the agent runs and listens on ${path} (Consul: addresses.http = "unix://${path}").`;
}
