import { type Client, connectivityState, experimental, Metadata } from "@grpc/grpc-js";
import { type Certificate, type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { asTheyAre, openChannel } from "../../../src/mesh/kit/grpc/channel.ts";
import { grpcError, isServiceError } from "../../../src/mesh/kit/grpc/errors.ts";
import { istioCertificateService } from "../proto/ca.pb.ts";
import type { Endpoint } from "./endpoint.ts";
import { istiod } from "./grpc-errors.ts";
import { RootsProvider } from "./roots-provider.ts";

/** istiod reviews the token with the API server before it signs. */
const answerWithinMs = 10_000;

/** istiod allows a ping each 15 s (GRPC_KEEPALIVE_INTERVAL / 2); the connection is idle for hours. */
const keepaliveMs = 60_000;

/** New roots are tried at the next attempt, so that it must not be far. */
const longestBackoffMs = 10_000;

export interface Signing {
  /** PEM. */
  readonly csr: string;
  /** None: to see whether somebody signs there at all. */
  readonly token: string | undefined;
  readonly clusterId: string | undefined;
  /** In seconds; 0 for istiod's own default. */
  readonly ttl: number;
  readonly signal: AbortSignal;
}

/** One connection to istiod's CA, for any number of identities; it is kept, and made again where it breaks. */
export class CaConnection implements Disposable {
  readonly #client: Client;
  readonly #roots = new RootsProvider();
  readonly #clock: Clock;

  constructor({ host, port, serverName }: Endpoint, clock: Clock) {
    const security = experimental.createCertificateProviderChannelCredentials(this.#roots, null);
    this.#client = openChannel(`dns:///${host.includes(":") ? `[${host}]` : host}:${port}`, security, {
      "grpc.ssl_target_name_override": serverName,
      "grpc.default_authority": serverName,
      "grpc.keepalive_time_ms": keepaliveMs,
      "grpc.keepalive_permit_without_calls": 1,
      "grpc.max_reconnect_backoff_ms": longestBackoffMs,
    });
    this.#clock = clock;
  }

  /** One of these must have signed istiod's certificate; before they are given, nobody is connected to. */
  trust(roots: readonly Certificate[]): void {
    this.#roots.set(roots);
  }

  /** Whether istiod can be asked, each time that it has become clear anew; ends when the connection is closed. */
  async *readiness(): AsyncGenerator<boolean> {
    const channel = this.#client.getChannel();
    for (let last: connectivityState | undefined; ;) {
      const state = channel.getConnectivityState(false);
      if (state === connectivityState.SHUTDOWN) return;
      // Only now: a channel that is closed would connect anew (seen in grpc-js 1.14).
      if (state === connectivityState.IDLE) channel.getConnectivityState(true);
      if (state === last) await change(channel, state);
      else if (state === connectivityState.READY) yield true;
      else if (state === connectivityState.TRANSIENT_FAILURE) yield false;
      last = state;
    }
  }

  /**
   * Has a CSR signed; resolves with the reply's certificates as they come.
   * @throws MeshError that concerns either this identity or istiod: its code tells.
   */
  async createCertificate({ csr, token, clusterId, ttl, signal }: Signing): Promise<readonly string[]> {
    const { path, requestSerialize } = istioCertificateService.createCertificate;
    const metadata = new Metadata();
    if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
    if (clusterId !== undefined) metadata.set("clusterid", clusterId);
    const request = { csr, validityDuration: String(ttl) };
    const { promise: answer, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
    const call = this.#client.makeUnaryRequest(
      path,
      requestSerialize,
      asTheyAre,
      request,
      metadata,
      (error, bytes) => {
        if (error === null) resolve(bytes);
        else reject(error);
      },
    );
    const over = new AbortController();
    const limit = this.#clock.sleep(answerWithinMs, AbortSignal.any([signal, over.signal])).then(() => {
      throw new MeshError("ATTACHE_MESH_TIMEOUT", `istiod did not answer in ${answerWithinMs / 1000} s`);
    });
    try {
      const bytes = await Promise.race([answer, limit]);
      return decode(bytes ?? Buffer.alloc(0));
    } catch (error) {
      throw isServiceError(error) ? grpcError(error, istiod, { secrets: [csr, token ?? ""] }) : error;
    } finally {
      over.abort();
      call.cancel();
      answer.catch(() => undefined);
      limit.catch(() => undefined);
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

function change(channel: ReturnType<Client["getChannel"]>, state: connectivityState): Promise<void> {
  return new Promise((resolve) => channel.watchConnectivityState(state, Infinity, () => resolve()));
}

function decode(bytes: Buffer): readonly string[] {
  try {
    return istioCertificateService.createCertificate.responseDeserialize(bytes).certChain;
  } catch (cause) {
    throw new MeshError("ATTACHE_MESH_MALFORMED", "istiod's answer is no IstioCertificateResponse", {
      cause,
    });
  }
}
