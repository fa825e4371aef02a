import { isIP } from "node:net";
import { hostAndPort, isLoopback } from "../../text/host.ts";
import { socketPathMaxBytes } from "./unix-socket.ts";

/** Where a peer listens: a host with a port, or a Unix socket. */
export interface Address {
  /** A name, an IPv4 address, or an IPv6 address without brackets; `localhost` for a Unix socket. */
  readonly host: string;
  readonly port: number;
  /** The Unix socket that is used instead of host and port. */
  readonly socketPath?: string;
}

/** An {@link Address} as it was written: what it leaves open is `undefined`. */
export interface WrittenAddress extends Omit<Address, "port"> {
  readonly scheme: string | undefined;
  readonly port: number | undefined;
  /** What stands before all paths of the API: empty, or like `/consul`. */
  readonly path: string;
}

interface AddressForm {
  /** Those that may stand in front; `unix` among them permits `unix:///path`. */
  readonly schemes?: readonly string[];
  readonly hasPath?: boolean;
}

/**
 * Reads `HOST`, `HOST:PORT`, `SCHEME://HOST:PORT/PATH` or `unix:///PATH`. An IPv6 address has brackets, and may have a
 * zone: `[fe80::1%25eth0]`. Spaces and line ends around the text do not count. `undefined` for anything else, with a
 * user or a query for example.
 */
export function readAddress(
  text: string,
  { schemes = [], hasPath = false }: AddressForm = {},
): WrittenAddress | undefined {
  const { scheme, name, ip, zone, port, path = "", socket } = form.exec(text.trim())?.groups ?? {};
  if (socket !== undefined) {
    const isUsable = schemes.includes("unix") && Buffer.byteLength(socket) <= socketPathMaxBytes;
    return isUsable
      ? { scheme: "unix", host: "localhost", port: undefined, socketPath: socket, path: "" }
      : undefined;
  }
  const host = name ?? `${ip}${zone === undefined ? "" : `%${zone}`}`;
  const number = port === undefined ? undefined : Number(port);
  if (name === undefined && isIP(host) !== 6) return undefined;
  if (number !== undefined && (number < 1 || number > 65_535)) return undefined;
  if (scheme !== undefined && !schemes.includes(scheme)) return undefined;
  if (!hasPath && path !== "") return undefined;
  return { scheme, host, port: number, path: path.replace(/\/+$/, "") };
}

const form =
  /^(?:unix:(?:\/\/)?(?<socket>\/[^/?#\p{Cc}][^?#\p{Cc}]*)|(?:(?<scheme>(?!unix:)[a-z]+):\/\/)?(?:(?<name>[\w.-]+)|\[(?<ip>[\da-fA-F:.]+)(?:%(?:25)?(?<zone>[\w.-]+))?\])(?::(?<port>\d{1,5}))?(?<path>(?:\/[\w.~!$&'()*+,;=:@%-]*)*))$/u;

/** As an operator would write it. */
export function addressText({ host, port, socketPath }: Address): string {
  if (socketPath !== undefined) return `unix://${socketPath}`;
  return hostAndPort(host, port);
}

/** As grpc-js takes it. */
export function grpcTarget(address: Address): string {
  const { host, port, socketPath } = address;
  if (socketPath !== undefined) return `unix://${socketPath}`;
  const family = isIP(host);
  if (family === 0) return `dns:///${host}:${port}`;
  return family === 6 ? `ipv6:[${host}]:${port}` : `ipv4:${host}:${port}`;
}

/** Whether what is sent there stays on this machine. */
export function isLocal({ host, socketPath }: Pick<Address, "host" | "socketPath">): boolean {
  return socketPath !== undefined || isLoopback(host);
}
