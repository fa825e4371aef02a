import { isIP } from "node:net";

/** `HOST:PORT` as URLs have it: an IPv6 address stands in brackets, its zone is escaped. */
export function hostAndPort(host: string, port: number | string): string {
  return `${isIP(host) === 6 ? `[${host.replace("%", "%25")}]` : host}:${port}`;
}

/** As other machines know a host: a zone is the name of this machine's own interface. */
export function withoutZone(host: string): string {
  return host.replace(/%.*$/, "");
}

/** Whether what is sent there stays on this machine. @param host a name, or an address without brackets. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || withoutZone(host) === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
