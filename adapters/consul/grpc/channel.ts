import { type Client, credentials } from "@grpc/grpc-js";
import { addressText, grpcTarget } from "../../../src/mesh/kit/address.ts";
import { withoutZone } from "../../../src/text/host.ts";
import { openChannel } from "../../../src/mesh/kit/grpc/channel.ts";
import { TlsCredentials, type Verification } from "../../../src/mesh/kit/grpc/tls.ts";
import { sniOf } from "../../../src/text/tls.ts";
import { secureContext, type TlsSettings } from "../tls.ts";
import type { Server } from "./servers.ts";

/** As HashiCorp's own client; Consul takes pings less than 15 s apart for an attack. */
const keepAliveMs = 30_000;

/**
 * How one server proves itself, by files that are read at each call.
 * @throws MeshError if a file cannot be used.
 */
export async function verificationOf(tls: TlsSettings, server: Server): Promise<Verification> {
  return {
    context: await secureContext(tls),
    name: tls.serverName ?? server.name ?? withoutZone(server.host),
    isVerified: !tls.insecureSkipVerify,
  };
}

/** A channel of one connection to one server, in plain text without `verification`. */
export function openServerChannel(server: Server, verification: Verification | undefined): Client {
  const security =
    verification === undefined
      ? credentials.createInsecure()
      : new TlsCredentials(() => Promise.resolve(verification));
  const authority =
    server.socketPath === undefined
      ? addressText({ ...server, host: withoutZone(server.host) })
      : "localhost";
  return openChannel(grpcTarget(server), security, {
    "grpc.keepalive_time_ms": keepAliveMs,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.default_authority": (verification && sniOf(verification.name)) ?? authority,
  });
}
