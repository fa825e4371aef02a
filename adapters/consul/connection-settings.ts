import type { MeshContext } from "../../src/mesh/adapter.ts";
import type { ConsulSettings } from "./definition.ts";
import { type Endpoint, parseAddress } from "./endpoint.ts";
import type { TokenSource } from "./token.ts";

type Env = MeshContext["env"];

/** What is needed to reach an agent, with the environment's say in it. */
export interface ConnectionSettings {
  readonly endpoint: Endpoint;
  readonly token: TokenSource;
  readonly datacenter: string | undefined;
  readonly tls: TlsSettings;
}

export interface TlsSettings {
  readonly caFile: string | undefined;
  readonly caPath: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly serverName: string | undefined;
  readonly insecureSkipVerify: boolean;
}

/**
 * Settings first, then the environment variables that users of Consul know, then Consul's defaults
 * (https://developer.hashicorp.com/consul/commands#environment-variables).
 * @throws MeshError if the address of the environment is none.
 */
export function connectionSettings(settings: ConsulSettings, env: Env): ConnectionSettings {
  const read = (name: string) => (env[name] === "" ? undefined : env[name]);
  const wantsTls = isTrue(read("CONSUL_HTTP_SSL")) ?? false;
  const { address, tls = {} } = settings;
  // Whoever writes a scheme into the settings means it.
  const forceTls = wantsTls && address?.includes("://") !== true;
  return {
    endpoint: parseAddress(address ?? read("CONSUL_HTTP_ADDR") ?? "127.0.0.1:8500", forceTls),
    token: tokenSource(settings, read),
    datacenter: settings.datacenter,
    tls: {
      caFile: tls.caFile ?? read("CONSUL_CACERT"),
      caPath: tls.caPath ?? read("CONSUL_CAPATH"),
      certFile: tls.certFile ?? read("CONSUL_CLIENT_CERT"),
      keyFile: tls.keyFile ?? read("CONSUL_CLIENT_KEY"),
      serverName: tls.serverName ?? read("CONSUL_TLS_SERVER_NAME"),
      insecureSkipVerify: tls.insecureSkipVerify ?? isTrue(read("CONSUL_HTTP_SSL_VERIFY")) === false,
    },
  };
}

/** A file wins over a token beside it, as it does for the `consul` command. */
function tokenSource(
  { token, tokenFile }: ConsulSettings,
  read: (name: string) => string | undefined,
): TokenSource {
  if (token !== undefined) return { kind: "fixed", token };
  const file = tokenFile ?? read("CONSUL_HTTP_TOKEN_FILE");
  if (file !== undefined) return { kind: "file", path: file };
  const fixed = read("CONSUL_HTTP_TOKEN");
  return fixed === undefined ? { kind: "none" } : { kind: "fixed", token: fixed };
}

/** The words that Go's strconv.ParseBool knows, in which Consul reads its variables. */
function isTrue(text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (/^(?:1|t|T|true|TRUE|True)$/.test(text)) return true;
  return /^(?:0|f|F|false|FALSE|False)$/.test(text) ? false : undefined;
}
