import { type ChannelCredentials, type Client, credentials } from "@grpc/grpc-js";
import { checkServerIdentity, type SecureContext } from "node:tls";
import { openChannel } from "../../../src/mesh/kit/grpc/channel.ts";
import { secureContext, type TlsSettings } from "../tls.ts";
import { addressText } from "./connection-settings.ts";
import type { Server } from "./servers.ts";

/** As HashiCorp's own client; Consul takes pings less than 15 s apart for an attack. */
const keepAliveMs = 30_000;

/** How a server proves itself. */
export interface Verification {
  readonly context: SecureContext;
  /** The name in the handshake; an IP address cannot stand there. */
  readonly sni: string | undefined;
  /** What the certificate must carry: a name or an IP address. */
  readonly name: string;
  readonly isVerified: boolean;
}

/**
 * The TLS options for one server, from files that are read at each call.
 * @throws MeshError if a file cannot be used.
 */
export async function verificationOf(tls: TlsSettings, server: Server): Promise<Verification> {
  const sni = tls.serverName ?? server.name;
  return {
    context: await secureContext(tls),
    sni,
    name: sni ?? server.host,
    isVerified: !tls.insecureSkipVerify,
  };
}

/** A channel of one connection to one server, in plain text without `verification`. */
export function openServerChannel(server: Server, verification: Verification | undefined): Client {
  const text = addressText(server);
  const security = verification === undefined ? credentials.createInsecure() : credentialsOf(verification);
  return openChannel(`${text.startsWith("[") ? "ipv6" : "ipv4"}:${text}`, security, {
    "grpc.keepalive_time_ms": keepAliveMs,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.default_authority": verification?.sni ?? text,
    // grpc-js would put the IP address where only a name may stand; what is verified is said below.
    "grpc.ssl_target_name_override": verification?.sni ?? "localhost",
    // Variables for proxies are meant for the world outside; those who want one here have an address for it.
    "grpc.enable_http_proxy": 0,
  });
}

function credentialsOf({ context, name, isVerified }: Verification): ChannelCredentials {
  return credentials.createFromSecureContext(context, {
    rejectUnauthorized: isVerified,
    checkServerIdentity: (_host, certificate) =>
      isVerified ? checkServerIdentity(name, certificate) : undefined,
  });
}
