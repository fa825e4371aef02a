import { MeshError } from "../../../src/mesh/adapter.ts";
import { isTlsCode } from "../../../src/mesh/tls-codes.ts";
import type { Endpoint } from "./endpoint.ts";

/** Why no whole answer came, as an error of the mesh; what has no system or TLS code is handed back: a bug of ours. */
export function transportError(error: unknown, { url, socketPath }: Endpoint): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "") return error;
  const options = { cause: error };
  if (isTlsCode(code)) {
    return new MeshError("ATTACHE_MESH_TLS", `the TLS handshake with ${url} fails (${code})`, {
      ...options,
      remedy: tlsRemedy(code),
    });
  }
  if (code.startsWith("HPE_")) {
    return new MeshError("ATTACHE_MESH_MALFORMED", `${url} does not speak HTTP as it should (${code})`, {
      ...options,
      remedy: "Check that the address is that of Consul's HTTP API, and whether it wants https://.",
    });
  }
  return new MeshError("ATTACHE_MESH_UNREACHABLE", `${url} cannot be reached (${code})`, {
    ...options,
    remedy: socketPath === undefined ? reachRemedy(code) : socketRemedy(code, socketPath),
  });
}

function tlsRemedy(code: string): string {
  switch (code) {
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "Set `tls.serverName` to a name that Consul's certificate carries, e.g. server.dc1.consul, or correct the address.";
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return "Renew Consul's server certificate, and compare the clocks of both machines.";
    case "EPROTO":
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return "The port may be that of plain HTTP: check whether `address` needs http:// or another port (https is 8501).";
    default:
      return code.includes("ALERT")
        ? "Consul refuses attaché's client certificate: check `tls.certFile` and `tls.keyFile`, and Consul's `verify_incoming`."
        : "Give the CA of Consul's server certificate as `tls.caFile` (on Kubernetes: Secret <fullname>-ca-cert, key tls.crt).";
  }
}

function reachRemedy(code: string): string {
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "Check the host in `address` or CONSUL_HTTP_ADDR, and the DNS.";
    case "ECONNREFUSED":
      return "Check that the Consul agent runs and that `address` or CONSUL_HTTP_ADDR has the port of its HTTP API.";
    case "ECONNRESET":
      return "Look whether the agent restarts, has too many connections (limits.http_max_conns_per_client), or wants https://.";
    default:
      return "Check `address` or CONSUL_HTTP_ADDR, the network in between, and that the Consul agent runs.";
  }
}

function socketRemedy(code: string, path: string): string {
  return code === "EACCES"
    ? `Let attaché write to the socket ${path} (Consul: unix_sockets.mode, .user and .group).`
    : `Check that the agent runs and listens on ${path} (Consul: addresses.http = "unix://${path}").`;
}
