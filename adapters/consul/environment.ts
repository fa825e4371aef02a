import { type MeshContext, MeshError } from "../../src/mesh/adapter.ts";
import type { ConsulSettings } from "./definition.ts";
import type { TlsSettings } from "./tls.ts";
import type { Tenancy, TokenSource } from "./token.ts";

/**
 * Environment variables that users of Consul know, for what the settings leave open
 * (https://developer.hashicorp.com/consul/commands#environment-variables).
 */
export type Env = MeshContext["env"];

/** Without the spaces and line ends around it; set to nothing counts as not set. */
export function read(env: Env, name: string): string | undefined {
  const text = env[name]?.trim();
  return text === "" ? undefined : text;
}

/**
 * In the words of Go's strconv.ParseBool; Consul overlooks others, which might turn encryption off unseen.
 * @throws MeshError if the variable makes no sense.
 */
export function readFlag(env: Env, name: string): boolean | undefined {
  const value = read(env, name);
  if (value === undefined) return undefined;
  if (/^(?:1|t|T|true|TRUE|True)$/.test(value)) return true;
  if (/^(?:0|f|F|false|FALSE|False)$/.test(value)) return false;
  throw new MeshError("ATTACHE_MESH_TLS", `${name} is neither true nor false`, {
    retryable: false,
    remedy: `Set ${name} to "true" or "false", or not at all.`,
  });
}

/** A file wins over a token beside it, as it does for the `consul` command. */
export function tokenSource({ token, tokenFile, login }: ConsulSettings, env: Env): TokenSource {
  if (login !== undefined) return { kind: "login", ...withEnterprise(login, env) };
  if (token !== undefined) return { kind: "fixed", token };
  const file = tokenFile ?? read(env, "CONSUL_HTTP_TOKEN_FILE");
  if (file !== undefined) return { kind: "file", path: file };
  const fixed = read(env, "CONSUL_HTTP_TOKEN");
  return fixed === undefined ? { kind: "none" } : { kind: "fixed", token: fixed };
}

/** As `consul login` takes them. */
export function withEnterprise<T extends { namespace?: string | undefined; partition?: string | undefined }>(
  settings: T,
  env: Env,
): T & Tenancy {
  return {
    ...settings,
    namespace: settings.namespace ?? read(env, "CONSUL_NAMESPACE") ?? "",
    partition: settings.partition ?? read(env, "CONSUL_PARTITION") ?? "",
  };
}

/** @param cas names of variables with a file and a folder of CAs, the more special ones first. */
export function tlsSettings(
  tls: NonNullable<ConsulSettings["tls"]>,
  env: Env,
  cas: readonly (readonly [file: string, folder: string])[],
): TlsSettings {
  // Each pair comes from one place: a key fits no other certificate, and CAs of the environment were not
  // asked for.
  const [caFile, caPath] =
    [[tls.caFile, tls.caPath], ...cas.map((names) => names.map((name) => read(env, name)))].find((pair) =>
      pair.some((one) => one !== undefined),
    ) ?? [];
  const hasCertificate = tls.certFile !== undefined;
  return {
    caFile,
    caPath,
    certFile: hasCertificate ? tls.certFile : read(env, "CONSUL_CLIENT_CERT"),
    keyFile: hasCertificate ? tls.keyFile : read(env, "CONSUL_CLIENT_KEY"),
    serverName: tls.serverName ?? read(env, "CONSUL_TLS_SERVER_NAME"),
    insecureSkipVerify: tls.insecureSkipVerify ?? readFlag(env, "CONSUL_HTTP_SSL_VERIFY") === false,
  };
}
