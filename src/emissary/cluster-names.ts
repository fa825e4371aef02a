import type { Upstream } from "./consumer.ts";

/**
 * What Envoy may call the cluster in its metrics, the likeliest first: its `stats_name`, or else its service as Emissary spells it. Emissary adds the namespace
 * to the name of a service that has none, unless it is its own or its Module says otherwise, which nobody sees from outside.
 */
export function clusterNamesOf(
  { service, statsName, hasResolver }: Upstream,
  namespace: string,
  emissaryNamespace: string,
): readonly string[] {
  // Envoy writes colons so, and takes a name to end at the first dot.
  if (statsName !== undefined) return [statsName.replaceAll(":", "_").replace(/\..*/, "")];
  const { host, port } = partsOf(service);
  const isQualified = /[.:]/.test(host) || host === "localhost";
  const mayBeOwn = isQualified || namespace === emissaryNamespace;
  const hosts = mayBeOwn ? [host] : [`${host}.${namespace}`, host];
  const spelled = (hasResolver ? hosts.toReversed() : hosts).map((one) => spell(one + port));
  return [...new Set([...spelled, spell(withoutScheme(service))])];
}

function partsOf(service: string): { readonly host: string; readonly port: string } {
  const authority = withoutScheme(service).replace(/[/?#].*/, "");
  const [, host = authority, port = ""] = /^(\[[^\]]*\]|[^:]*)(:\d*)?$/.exec(authority) ?? [];
  return { host: host.toLowerCase(), port };
}

function withoutScheme(service: string): string {
  const end = service.indexOf("://");
  return end < 0 ? service : service.slice(end + 3);
}

function spell(service: string): string {
  return service.replace(/[^0-9A-Za-z_]/g, "_");
}
