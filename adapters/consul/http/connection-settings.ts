import { type MeshContext, MeshError } from "../../../src/mesh/adapter.ts";
import type { ConsulSettings } from "../definition.ts";
import { type Endpoint, parseAddress } from "./endpoint.ts";
import type { TlsSettings } from "../tls.ts";
import type { TokenSource } from "../token.ts";

type Env = MeshContext["env"];

/** What is needed to reach an agent, with the environment's say in it. */
export interface ConnectionSettings {
  readonly endpoint: Endpoint;
  readonly token: TokenSource;
  readonly datacenter: string | undefined;
  readonly tls: TlsSettings;
}

/**
 * Settings first, then the environment variables that users of Consul know, then Consul's defaults
 * (https://developer.hashicorp.com/consul/commands#environment-variables).
 * @throws MeshError if a variable makes no sense.
 */
export function connectionSettings(settings: ConsulSettings, env: Env): ConnectionSettings {
  const { address, datacenter, tls } = settings;
  const wantsTls = tls !== undefined || (readFlag(env, "CONSUL_HTTP_SSL") ?? false);
  // Whoever writes a scheme into the settings means it; one in the environment must not turn encryption off.
  const forceTls = wantsTls && address?.includes("://") !== true;
  return {
    endpoint: parseAddress(address ?? read(env, "CONSUL_HTTP_ADDR") ?? "127.0.0.1:8500", forceTls),
    token: tokenSource(settings, env),
    datacenter,
    tls: tlsSettings(tls ?? {}, env),
  };
}

/** A file wins over a token beside it, as it does for the `consul` command. */
function tokenSource({ token, tokenFile }: ConsulSettings, env: Env): TokenSource {
  if (token !== undefined) return { kind: "fixed", token };
  const file = tokenFile ?? read(env, "CONSUL_HTTP_TOKEN_FILE");
  if (file !== undefined) return { kind: "file", path: file };
  const fixed = read(env, "CONSUL_HTTP_TOKEN");
  return fixed === undefined ? { kind: "none" } : { kind: "fixed", token: fixed };
}

function tlsSettings(tls: NonNullable<ConsulSettings["tls"]>, env: Env): TlsSettings {
  // Each pair comes from one place: a key fits no other certificate, and CAs of the environment were not asked for.
  const hasCa = tls.caFile !== undefined || tls.caPath !== undefined;
  const hasCertificate = tls.certFile !== undefined;
  return {
    caFile: hasCa ? tls.caFile : read(env, "CONSUL_CACERT"),
    caPath: hasCa ? tls.caPath : read(env, "CONSUL_CAPATH"),
    certFile: hasCertificate ? tls.certFile : read(env, "CONSUL_CLIENT_CERT"),
    keyFile: hasCertificate ? tls.keyFile : read(env, "CONSUL_CLIENT_KEY"),
    serverName: tls.serverName ?? read(env, "CONSUL_TLS_SERVER_NAME"),
    insecureSkipVerify: tls.insecureSkipVerify ?? readFlag(env, "CONSUL_HTTP_SSL_VERIFY") === false,
  };
}

/** Set to nothing counts as not set. */
function read(env: Env, name: string): string | undefined {
  return env[name] === "" ? undefined : env[name];
}

/** In the words of Go's strconv.ParseBool; Consul overlooks others, which might turn encryption off unseen. */
function readFlag(env: Env, name: string): boolean | undefined {
  const value = read(env, name);
  if (value === undefined) return undefined;
  if (/^(?:1|t|T|true|TRUE|True)$/.test(value)) return true;
  if (/^(?:0|f|F|false|FALSE|False)$/.test(value)) return false;
  throw new MeshError("ATTACHE_MESH_TLS", `${name} is neither true nor false`, {
    retryable: false,
    remedy: `Set ${name} to "true" or "false", or not at all.`,
  });
}
