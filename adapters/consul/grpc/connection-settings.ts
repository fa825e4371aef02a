import { MeshError } from "../../../src/mesh/adapter.ts";
import type { Address } from "../../../src/mesh/kit/address.ts";
import {
  type GrpcSettings,
  isPlainText,
  serverAddressHint,
  serverAddressOf,
  type ServiceAccountLogin,
} from "../definition.ts";
import { type Env, read, tlsSettings, tokenSource, withEnterprise } from "../environment.ts";
import type { Tenancy } from "../token.ts";
import type { TlsSettings } from "../tls.ts";
import type { TokenSource } from "../token.ts";

/** What is needed to reach servers, with the environment's say in it. */
export interface ServerSettings {
  /** Each of one server, or by its name of several. */
  readonly addresses: readonly Address[];
  /** Plain text without it. */
  readonly tls: TlsSettings | undefined;
  readonly token: TokenSource;
  readonly datacenter: string | undefined;
  readonly serverWatch: boolean;
  readonly csrMaxPerSecond: number;
  readonly serviceAccountLogin: (ServiceAccountLogin & Tenancy) | undefined;
}

/**
 * Settings first, then the environment, then Consul's defaults.
 * @throws MeshError if a variable makes no sense, or if a token of the API server's would not be safe on its
 *   way.
 */
export function connectionSettings(settings: GrpcSettings, env: Env): ServerSettings {
  const { datacenter, serverWatch, csrMaxPerSecond, serviceAccountLogin } = settings;
  const texts = settings.addresses ?? [read(env, "CONSUL_GRPC_ADDR") ?? "127.0.0.1"];
  const isPlain = texts.some(isPlainText);
  const tls = isPlain ? undefined : tlsOf(settings, env);
  if (serviceAccountLogin !== undefined && serviceAccountLogin.audience === undefined) assertVerified(tls);
  return {
    addresses: texts.map((text) => parseAddress(text, isPlain ? 8502 : 8503)),
    tls,
    token: tokenSource(settings, env),
    datacenter,
    serverWatch,
    csrMaxPerSecond,
    serviceAccountLogin: serviceAccountLogin && withEnterprise(serviceAccountLogin, env),
  };
}

function tlsOf({ tls = {} }: GrpcSettings, env: Env): TlsSettings {
  return tlsSettings(tls, env, [
    ["CONSUL_GRPC_CACERT", "CONSUL_GRPC_CAPATH"],
    ["CONSUL_CACERT", "CONSUL_CAPATH"],
  ]);
}

function parseAddress(text: string, usualPort: number): Address {
  const written = serverAddressOf(text);
  if (written === undefined) throw notAnAddress();
  const { host, port = usualPort, socketPath } = written;
  return { host, port, ...(socketPath !== undefined && { socketPath }) };
}

/** Does not quote the text: a user may have put a password into it. */
function notAnAddress(): MeshError {
  return new MeshError("ATTACHE_MESH_UNREACHABLE", "CONSUL_GRPC_ADDR is not an address of a Consul server", {
    retryable: false,
    remedy: `Write it ${serverAddressHint}.`,
  });
}

/** The API server too accepts a token without an audience of its own: no party in between may read it. */
function assertVerified(tls: TlsSettings | undefined): void {
  if (tls !== undefined && !tls.insecureSkipVerify) return;
  throw new MeshError(
    "ATTACHE_MESH_TLS",
    "tokens of ServiceAccounts that the API server takes too go out over verified TLS only",
    {
      retryable: false,
      remedy:
        "Give `serviceAccountLogin.audience` and an auth method of type jwt, or reach the servers over TLS and verify them.",
    },
  );
}
