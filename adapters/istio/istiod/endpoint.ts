import { isIP } from "node:net";
import { defaultServerName } from "../definition.ts";

/** Where istiod's CA listens, and the name that its certificate must carry. */
export interface Endpoint {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
  /** As an operator would write it. */
  readonly address: string;
}

/** @param address `HOST:PORT`, as the settings have it. */
export function endpointOf(address: string, serverName?: string): Endpoint {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[|\]$/g, "");
  const port = Number(address.slice(colon + 1));
  return { host, port, serverName: serverName ?? usualName(host), address };
}

/** As of a port that `kubectl port-forward` has opened: no certificate of istiod's is for such a name. */
function usualName(host: string): string {
  return isIP(host) !== 0 || host === "localhost" ? defaultServerName : host;
}
