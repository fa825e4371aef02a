import { isDeepStrictEqual } from "node:util";
import {
  type Certificate,
  type Check,
  type Credential,
  issue,
  type Mesh,
  type MeshContext,
  MeshError,
  type TokenRequest,
  type WatchOptions,
} from "../../../src/mesh/adapter.ts";
import type { ListedRoots } from "../../../src/credentials/certificates.ts";
import type { Crls } from "../../../src/credentials/crl.ts";
import { ReconnectLoop } from "../../../src/mesh/kit/reconnect-loop.ts";
import { retrying } from "../../../src/mesh/kit/retry.ts";
import { Backoff } from "../../../src/runtime/backoff.ts";
import { LatestValue } from "../../../src/runtime/latest-value.ts";
import type { RenewalWindow } from "../../../src/mesh/renewal.ts";
import type { IstiodSettings, IstioIdentity } from "../definition.ts";
import { CaConnection } from "./ca-connection.ts";
import { checkIstiod } from "./check.ts";
import { crlConfigMapOf, followCrls } from "./crls.ts";
import { endpointOf, type IstiodEndpoint, tryHandshake } from "./handshake.ts";
import { assertIs, leadsTo, readReply, type SignedReply } from "./reply.ts";
import { followRoots } from "./roots.ts";
import { Tokens } from "./tokens.ts";

/** istiod's CA: a leaf for any ServiceAccount whose token attaché may have, over one connection for all. */
export class IstiodMesh implements Mesh<IstioIdentity> {
  readonly #settings: IstiodSettings;
  readonly #context: MeshContext;
  readonly #endpoint: IstiodEndpoint;
  readonly #window: RenewalWindow | undefined;
  /** As they are listed where the settings say; one of them must prove istiod to us. */
  #listed: ListedRoots = { bundle: [], leftOut: [] };
  #crls: Crls | undefined;
  /** Those, and for a moment ones of a leaf that came before its root was listed. */
  readonly #roots = new LatestValue<ListedRoots & Pick<Credential, "crls">>();
  readonly #connection: ReconnectLoop;
  #ca: CaConnection | undefined;

  /** @param window of a leaf's life in which it is renewed; the usual one by default. */
  constructor(settings: IstiodSettings, context: MeshContext, window?: RenewalWindow) {
    this.#settings = settings;
    this.#context = context;
    this.#endpoint = endpointOf(settings.address, settings.serverName);
    this.#window = window;
    this.#connection = new ReconnectLoop({
      context,
      connect: (signal) => this.#follow(signal),
      ended: (error) => this.#roots.fail(error),
    });
  }

  async *watch({ serviceAccount }: IstioIdentity, options: WatchOptions): AsyncGenerator<Credential> {
    if (serviceAccount === undefined) throw nameless();
    this.#connection.keep();
    const { namespace, signal, current } = options;
    const { clock, trustDomain = "cluster.local" } = this.#context;
    const { audience, keyType } = this.#settings;
    const spiffeId = `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
    const mint = (request: TokenRequest) => options.serviceAccountToken(request);
    const tokens = new Tokens({ serviceAccount, audience, mint, clock });
    yield* issue({
      spiffeId,
      sign: (csr, until) => this.#sign(csr, spiffeId, tokens, until),
      roots: this.#roots,
      keyType,
      // Others trust a new root only from their own next renewal on.
      crossSigns: false,
      clock,
      signal: AbortSignal.any([signal, this.#connection.signal]),
      ...(current && { current }),
      ...(this.#window && { window: this.#window }),
    });
  }

  check(): Promise<Check[]> {
    return checkIstiod(this.#settings, this.#endpoint, this.#context);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#connection[Symbol.asyncDispose]();
  }

  /** Ends with what concerns this identity; while istiod cannot be reached it waits, and asks again later. */
  #sign(
    csr: () => Promise<string>,
    spiffeId: string,
    tokens: Tokens,
    signal: AbortSignal,
  ): Promise<readonly Certificate[]> {
    const { clusterId, ttl = 0 } = this.#settings;
    return this.#connection.retry(async () => {
      // The token last: it lives for minutes, and a thousand RSA keys take as long.
      const pem = await csr();
      const token = await tokens.get(signal);
      await this.#connection.whenConnected(signal);
      if (this.#ca === undefined) throw new TypeError("connected, and there is no connection");
      const request = { csr: pem, token, clusterId, ttl: Math.round(ttl / 1000), signal };
      try {
        const reply = await readReply(await this.#ca.createCertificate(request));
        assertIs(reply, spiffeId);
        this.#learn(reply);
        return reply.chain;
      } catch (error) {
        if (MeshError.is(error) && error.code === "ATTACHE_MESH_UNAUTHENTICATED") tokens.forget();
        throw error;
      }
    }, signal);
  }

  /** istiod signs with its new root a while before that is listed everywhere. */
  #learn(reply: SignedReply): void {
    const { bundle, leftOut } = this.#roots.value ?? this.#listed;
    const now = this.#context.clock.now();
    if (leadsTo(reply, bundle, now) || !leadsTo(reply, reply.roots, now)) return;
    this.#publish({ bundle: [...bundle, ...reply.roots], leftOut });
  }

  #publish({ bundle, leftOut }: ListedRoots): void {
    this.#roots.publish({ bundle, leftOut, ...(this.#crls && { crls: this.#crls }) });
  }

  #received(crls: Crls | undefined): void {
    if (isDeepStrictEqual(crls, this.#crls)) return;
    this.#crls = crls;
    if (this.#roots.value !== undefined) this.#publish(this.#roots.value);
  }

  async #follow(disposed: AbortSignal): Promise<never> {
    const over = new AbortController();
    const signal = AbortSignal.any([disposed, over.signal]);
    const connection = new CaConnection(this.#endpoint, this.#context.clock);
    signal.addEventListener("abort", () => connection[Symbol.dispose](), { once: true });
    this.#ca = connection;
    try {
      await Promise.all([
        this.#followRoots(connection, signal),
        this.#followCrls(signal),
        this.#attend(connection, signal),
      ]);
      throw new TypeError("the roots ended without an error");
    } finally {
      over.abort();
      this.#ca = undefined;
    }
  }

  /** Looks for the roots again and again; what was found last stays meanwhile. */
  #followRoots(connection: CaConnection, signal: AbortSignal): Promise<never> {
    const { cluster, clock } = this.#context;
    const backoff = new Backoff(clock);
    return retrying(
      async () => {
        for await (const found of followRoots(this.#settings.roots, { cluster, clock, signal })) {
          backoff.succeeded();
          if (MeshError.is(found)) this.#missing(found);
          else if (!isSame(found, this.#listed)) {
            this.#listed = found;
            connection.trust(found.bundle);
            this.#publish(found);
          }
        }
        throw new TypeError("the roots ended without an error");
      },
      async (error) => {
        if (signal.aborted || !MeshError.is(error)) throw error;
        this.#missing(error);
        await backoff.pause(error, signal);
      },
    );
  }

  async #followCrls(signal: AbortSignal): Promise<void> {
    const { cluster, clock } = this.#context;
    const configMap = crlConfigMapOf(this.#settings);
    if (cluster === undefined || configMap === undefined) return;
    await followCrls(configMap, {
      ...{ cluster, clock, signal },
      received: (crls) => this.#received(crls),
      unreadable: (problem) => this.#received({ lists: this.#crls?.lists ?? [], problems: [problem] }),
    });
  }

  /** With the roots of before istiod can still be reached, as long as they are its own. */
  #missing(error: MeshError): void {
    if (this.#listed.bundle.length > 0) this.#context.logger.log("MeshRootsMissing", { err: error });
    else this.#connection.markDisconnected(error);
  }

  async #attend(connection: CaConnection, signal: AbortSignal): Promise<void> {
    for await (const isReady of connection.readiness()) {
      if (isReady) this.#connection.markConnected();
      else {
        this.#connection.suspend();
        this.#connection.markDisconnected(await this.#reason(signal));
      }
    }
  }

  /** gRPC only says that it cannot connect. */
  async #reason(signal: AbortSignal): Promise<MeshError> {
    const problem = await tryHandshake(this.#endpoint, this.#listed.bundle, this.#context.clock, signal);
    return (
      problem ??
      new MeshError(
        "ATTACHE_MESH_UNREACHABLE",
        `the connection to ${this.#endpoint.address} broke; it is made again`,
        { remedy: "Nothing, if istiod restarts. Else look at its log, and at what is in between." },
      )
    );
  }
}

function isSame(one: ListedRoots, other: ListedRoots): boolean {
  const printsOf = ({ bundle, leftOut }: ListedRoots) =>
    [...bundle, ...leftOut].map(({ fingerprint }) => fingerprint).join();
  return printsOf(one) === printsOf(other);
}

function nameless(): MeshError {
  return new MeshError(
    "ATTACHE_MESH_IDENTITY_REFUSED",
    "`serviceAccount` is missing, and the mode istiod has no identity of its own",
    {
      remedy:
        "Name a ServiceAccount of the MeshCertificate's namespace: `istio: { serviceAccount: edge-mesh }`.",
    },
  );
}
