import { BlockList, isIP } from "node:net";
import { isLoopback } from "./host.ts";

/**
 * The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for `url`, as `kubectl` and `consul` read them
 * (golang.org/x/net/http/httpproxy); `undefined` where there is none.
 */
export function proxyOf(url: string, env: Readonly<Record<string, string | undefined>>): string | undefined {
  const { protocol, hostname, port } = new URL(url);
  const isSecure = protocol === "https:";
  const read = (name: string) => [env[name], env[name.toLowerCase()]].find(Boolean);
  const proxy = read(isSecure ? "HTTPS_PROXY" : "HTTP_PROXY");
  const host = hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  if (proxy === undefined || isLoopback(host)) return undefined;
  const exceptions = (read("NO_PROXY") ?? "").toLowerCase().split(",");
  const isDirect = exceptions.some((one) => matches(one.trim(), host, port || (isSecure ? "443" : "80")));
  if (isDirect) return undefined;
  return /^(?:https?|socks5h?):\/\//i.test(proxy) ? proxy : `http://${proxy}`;
}

/**
 * @param exception `*`, an address, a network like `10.0.0.0/8`, or a domain; all but a network may end in
 * `:PORT`.
 */
function matches(exception: string, host: string, port: string): boolean {
  if (exception === "*") return true;
  const [, network = "", prefix = ""] = /^(.+)\/(\d+)$/.exec(exception) ?? [];
  if (isIP(network) !== 0) return isIP(host) !== 0 && isWithin(host, network, Number(prefix));
  const isBareIp = isIP(exception) !== 0;
  const [, name = "", ofPort = port] = isBareIp
    ? [undefined, exception]
    : (/^(.*?)(?::(\d+))?$/.exec(exception) ?? []);
  if (name === "" || ofPort !== port) return false;
  const domain = name.replace(/^\[(.*)\]$/, "$1").replace(/^\*\./, ".");
  return host === domain || host.endsWith(domain.startsWith(".") ? domain : `.${domain}`);
}

function isWithin(host: string, network: string, prefix: number): boolean {
  const family = (address: string) => (isIP(address) === 6 ? "ipv6" : "ipv4");
  const list = new BlockList();
  try {
    list.addSubnet(network, prefix, family(network));
  } catch {
    return false;
  }
  return list.check(host, family(host));
}
