import { MeshError } from "../../../src/mesh/adapter.ts";
import { type Address, addressText } from "../../../src/mesh/kit/address.ts";
import { httpAddressOf, httpAddressHint } from "../definition.ts";

/** Where an agent's HTTP API listens. */
export interface Endpoint extends Address {
  readonly isSecure: boolean;
  /** What stands before `/v1` where a gateway does: empty, or like `/consul`. */
  readonly path: string;
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
  const written = httpAddressOf(text);
  if (written === undefined) throw notAnAddress();
  const { scheme, host, socketPath, path } = written;
  if (socketPath !== undefined) {
    return { isSecure: false, host, port: 80, socketPath, path, url: `unix://${socketPath}` };
  }
  const isSecure = forceTls || scheme === "https";
  const usualPorts = scheme === undefined ? { http: 8500, https: 8501 } : { http: 80, https: 443 };
  const secureScheme = isSecure ? "https" : "http";
  const port = written.port ?? usualPorts[secureScheme];
  return { isSecure, host, port, path, url: `${secureScheme}://${addressText({ host, port })}${path}` };
}

/** Does not quote the text: a user may have put a password into it. */
function notAnAddress(): MeshError {
  return new MeshError(
    "ATTACHE_MESH_UNREACHABLE",
    "CONSUL_HTTP_ADDR is not an address of Consul's HTTP API",
    {
      retryable: false,
      remedy: `Write it ${httpAddressHint}.`,
    },
  );
}
