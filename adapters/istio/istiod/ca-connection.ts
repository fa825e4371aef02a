import { type Client, status } from "@grpc/grpc-js";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Certificate, Clock } from "../../../src/mesh/adapter.ts";
import { grpcTarget } from "../../../src/mesh/kit/address.ts";
import { callUnary } from "../../../src/mesh/kit/grpc/calls.ts";
import { openChannel, readinessOf } from "../../../src/mesh/kit/grpc/channel.ts";
import { grpcError, type GrpcPeer, isServiceError } from "../../../src/mesh/kit/grpc/errors.ts";
import { TlsCredentials } from "../../../src/mesh/kit/grpc/tls.ts";
import { firstOf } from "../../../src/mesh/kit/reconnect-loop.ts";
import { LatestValue } from "../../../src/runtime/latest-value.ts";
import { sniOf } from "../../../src/text/tls.ts";
import { istioCertificateService } from "../proto/ca.pb.ts";
import type { IstiodEndpoint } from "./handshake.ts";

/** istiod reviews the token with the API server before it signs. */
const answerWithinMs = 10_000;

/** istiod allows a ping each 15 s (GRPC_KEEPALIVE_INTERVAL / 2); the connection is idle for hours. */
const keepaliveMs = 60_000;

/** New roots are tried at the next attempt, so that it must not be far. */
const longestBackoffMs = 10_000;

interface SigningRequest {
  /** PEM. */
  readonly csr: string;
  /** None: to see whether a CA answers there at all. */
  readonly token: string | undefined;
  readonly clusterId: string | undefined;
  /** In seconds; 0 for istiod's own default. */
  readonly ttl: number;
  readonly signal: AbortSignal;
}

/**
 * One connection to istiod's CA, for any number of identities; it is kept, and made again where it breaks.
 */
export class CaConnection implements Disposable {
  readonly #client: Client;
  readonly #disposed = new AbortController();
  readonly #contexts = new LatestValue<SecureContext>();
  readonly #clock: Clock;

  constructor({ host, port, serverName }: IstiodEndpoint, clock: Clock) {
    const security = new TlsCredentials(async () => {
      const context = await firstOf(this.#contexts, () => true, this.#disposed.signal);
      return { context, name: serverName, isVerified: true };
    });
    this.#client = openChannel(grpcTarget({ host, port }), security, {
      "grpc.default_authority": sniOf(serverName) ?? serverName,
      "grpc.keepalive_time_ms": keepaliveMs,
      "grpc.keepalive_permit_without_calls": 1,
      "grpc.max_reconnect_backoff_ms": longestBackoffMs,
    });
    this.#clock = clock;
  }

  /** One of these must have signed istiod's certificate; before they are given, no connection is made. */
  trust(roots: readonly Certificate[]): void {
    this.#contexts.publish(createSecureContext({ ca: roots.map((root) => root.toPem()) }));
  }

  /** Whether istiod is reachable, at each change; ends when the connection is closed. */
  readiness(): AsyncGenerator<boolean> {
    return readinessOf(this.#client);
  }

  /**
   * Has a CSR signed; resolves with the reply's certificates as they come.
   * @throws MeshError that concerns either this identity or istiod: its code tells.
   */
  async createCertificate({
    csr,
    token,
    clusterId,
    ttl,
    signal,
  }: SigningRequest): Promise<readonly string[]> {
    const request = { csr, validityDuration: String(ttl) };
    try {
      const { certChain } = await callUnary(
        this.#client,
        istioCertificateService.createCertificate,
        request,
        {
          peer: "istiod",
          withinMs: answerWithinMs,
          metadata: { authorization: token && `Bearer ${token}`, clusterid: clusterId },
          clock: this.#clock,
          signal,
        },
      );
      return certChain;
    } catch (error) {
      throw isServiceError(error) ? grpcError(error, istiod, { secrets: [csr, token ?? ""] }) : error;
    }
  }

  [Symbol.dispose](): void {
    this.#disposed.abort();
    this.#client.close();
  }
}

/**
 * What istiod means by a status; of a token it only ever says "request authenticate failure", and the rest to
 * its log.
 */
const istiod: GrpcPeer = {
  name: "istiod",
  table: [
    {
      status: [status.UNAUTHENTICATED],
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      problem: "istiod does not accept the token of the ServiceAccount",
      remedy:
        'istiod\'s log says why (search for "Failed to authenticate"). Usual reasons: the token is of another cluster than the one that istiod asks about it (`clusterId`), or for another audience than istiod wants (`audience`).',
    },
    {
      status: [status.INVALID_ARGUMENT],
      code: "ATTACHE_MESH_FORBIDDEN",
      problem: "istiod refuses to sign",
      remedy: "If it is for the TTL, lower `ttl`, or raise istiod's MAX_WORKLOAD_CERT_TTL.",
    },
    {
      status: [status.UNIMPLEMENTED],
      code: "ATTACHE_MESH_MALFORMED",
      problem: "what listens there signs no certificates",
      remedy:
        "istiod signs on its port 15012 unless its CA is off (ENABLE_CA_SERVER=false); then give the address of the CA that is used instead, e.g. cert-manager-istio-csr.",
    },
  ],
  // Also INTERNAL: the CA is not ready, or has expired.
  otherwise: { code: "ATTACHE_MESH_UNAVAILABLE", problem: "istiod cannot sign now" },
};
