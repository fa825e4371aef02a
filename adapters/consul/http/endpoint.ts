import { MeshError } from "../../../src/mesh/adapter.ts";
import { addressForm } from "../definition.ts";

/** Where an agent's HTTP API listens. */
export interface Endpoint {
  readonly isSecure: boolean;
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** The Unix socket that is used instead of host and port. */
  readonly socketPath?: string;
  /** As an operator would write it. */
  readonly url: string;
}

/**
 * Reads an address as the `consul` command does (api/api.go, NewClient), except that a bare host has Consul's
 * usual port: 8500, or 8501 with TLS.
 * @param forceTls makes `http://` mean `https://`, as `CONSUL_HTTP_SSL` does.
 * @throws MeshError if it is no address.
 */
export function parseAddress(text: string, forceTls: boolean): Endpoint {
  const { scheme, host, port, socket } = addressForm.exec(text)?.groups ?? {};
  if (socket !== undefined) {
    return { isSecure: false, host: "localhost", port: 80, socketPath: socket, url: text };
  }
  const isSecure = forceTls || scheme === "https";
  const usualPorts = scheme === undefined ? { http: 8500, https: 8501 } : { http: 80, https: 443 };
  const secureScheme = isSecure ? "https" : "http";
  const number = port === undefined ? usualPorts[secureScheme] : Number(port);
  if (host === undefined || number < 1 || number > 65_535) throw notAnAddress();
  return {
    isSecure,
    host: host.replace(/^\[|\]$/g, ""),
    port: number,
    url: `${secureScheme}://${host}:${number}`,
  };
}

/** Whether what is sent there stays on this machine. */
export function isLocal({ host, socketPath }: Pick<Endpoint, "host" | "socketPath">): boolean {
  return socketPath !== undefined || host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** Does not quote the text: a user may have put a password into it. */
function notAnAddress(): MeshError {
  return new MeshError("ATTACHE_MESH_UNREACHABLE", "what stands for Consul's address is none", {
    retryable: false,
    remedy:
      'Write `address` or CONSUL_HTTP_ADDR like "https://127.0.0.1:8501", "127.0.0.1:8500" or "unix:///run/consul.sock", without user, path or query.',
  });
}
