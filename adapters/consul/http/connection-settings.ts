import type { HttpSettings } from "../definition.ts";
import { type Env, read, readFlag, tlsSettings, tokenSource } from "../environment.ts";
import { addressText } from "../../../src/mesh/kit/address.ts";
import { withoutZone } from "../../../src/text/host.ts";
import { proxyOf } from "../../../src/text/proxy.ts";
import type { TlsSettings } from "../tls.ts";
import type { TokenSource } from "../token.ts";
import { type Endpoint, parseAddress } from "./endpoint.ts";

/** What is needed to reach an agent, with the environment's say in it. */
export interface AgentSettings {
  readonly endpoint: Endpoint;
  /** `USER:PASSWORD` for a gateway before the agent. */
  readonly basicAuth: string | undefined;
  readonly token: TokenSource;
  readonly datacenter: string | undefined;
  readonly tls: TlsSettings;
  /** That of the environment, as the `consul` command takes it: HTTPS_PROXY, HTTP_PROXY, NO_PROXY. */
  readonly proxyUrl: string | undefined;
}

/**
 * Settings first, then the environment, then Consul's defaults.
 * @throws MeshError if a variable makes no sense.
 */
export function connectionSettings(settings: HttpSettings, env: Env): AgentSettings {
  const { address, datacenter, tls } = settings;
  const wantsTls = tls !== undefined || (readFlag(env, "CONSUL_HTTP_SSL") ?? false);
  // A scheme in the settings is intended; one in the environment must not turn encryption off.
  const forceTls = wantsTls && address?.includes("://") !== true;
  const endpoint = parseAddress(address ?? read(env, "CONSUL_HTTP_ADDR") ?? "127.0.0.1:8500", forceTls);
  return {
    endpoint,
    proxyUrl: endpoint.socketPath === undefined ? proxyOf(urlForProxy(endpoint), env) : undefined,
    basicAuth: basicAuthIn(env),
    token: tokenSource(settings, env),
    datacenter,
    tls: tlsSettings(tls ?? {}, env, [["CONSUL_CACERT", "CONSUL_CAPATH"]]),
  };
}

/** A URL has no zone. */
function urlForProxy({ isSecure, host, port }: Endpoint): string {
  return `${isSecure ? "https" : "http"}://${addressText({ host: withoutZone(host), port })}`;
}

/** As the `consul` command reads it: a text without a colon is a user without a password. */
function basicAuthIn(env: Env): string | undefined {
  const text = read(env, "CONSUL_HTTP_AUTH");
  return text === undefined || text.includes(":") ? text : `${text}:`;
}
