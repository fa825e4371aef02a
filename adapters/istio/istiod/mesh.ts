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
import { Backoff } from "../../../src/runtime/backoff.ts";
import { LatestValue } from "../../../src/runtime/latest-value.ts";
import type { RenewalWindow } from "../../../src/mesh/renewal.ts";
import type { IstiodSettings, IstioIdentity } from "../definition.ts";
import { CaConnection } from "./ca-connection.ts";
import { checkIstiod } from "./check.ts";
import { type Endpoint, endpointOf } from "./endpoint.ts";
import { tryHandshake } from "./handshake.ts";
import { assertIs, leadsTo, readReply, type Reply } from "./reply.ts";
import { followRoots } from "./roots.ts";
import { Tokens } from "./tokens.ts";

/** How far apart those who wait come back to an istiod that was away: 200 a second. */
const spreadMs = 5;

/** After so many failures in a row, while istiod is there, a watch ends with its own. */
const patience = 3;

/** istiod's CA: a leaf for any ServiceAccount whose token attaché may have, over one connection for all. */
export class IstiodMesh implements Mesh<IstioIdentity> {
  readonly #settings: IstiodSettings;
  readonly #context: MeshContext;
  readonly #endpoint: Endpoint;
  readonly #window: RenewalWindow | undefined;
  /** As they are listed where the settings say; one of them must prove istiod to us. */
  #listed: readonly Certificate[] = [];
  /** Those, and for a moment ones of a leaf that came before its root was listed. */
  readonly #roots = new LatestValue<readonly Certificate[]>();
  /** The connection while it is ready. */
  readonly #ready = new LatestValue<CaConnection | undefined>();
  readonly #disposed = new AbortController();
  #waiting = 0;
  #following: Promise<void> | undefined;

  /** @param window of a leaf's life in which it is renewed; the usual one by default. */
  constructor(settings: IstiodSettings, context: MeshContext, window?: RenewalWindow) {
    this.#settings = settings;
    this.#context = context;
    this.#endpoint = endpointOf(settings.address, settings.serverName);
    this.#window = window;
  }

  async *watch({ serviceAccount }: IstioIdentity, options: WatchOptions): AsyncGenerator<Credential> {
    if (serviceAccount === undefined) throw nameless();
    this.#following ??= this.#follow();
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
      signal: AbortSignal.any([signal, this.#disposed.signal]),
      ...(current && { current }),
      ...(this.#window && { window: this.#window }),
    });
  }

  check(): Promise<Check[]> {
    return checkIstiod(this.#settings, this.#endpoint, this.#context);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { name } = this.#context;
    this.#disposed.abort(new MeshError("ATTACHE_MESH_UNREACHABLE", `the mesh ${name} was disconnected`));
    await this.#following;
  }

  /** Ends with what concerns this identity; while istiod is away it waits, and asks again when it is back. */
  async #sign(
    csr: () => Promise<string>,
    spiffeId: string,
    tokens: Tokens,
    signal: AbortSignal,
  ): Promise<readonly Certificate[]> {
    const backoff = new Backoff(this.#context.clock);
    const { clusterId, ttl = 0 } = this.#settings;
    for (;;) {
      await this.#connected(signal);
      try {
        // The token last: it lives for minutes, and a thousand RSA keys take as long.
        const pem = await csr();
        const token = await tokens.get(signal);
        const request = { csr: pem, token, clusterId, ttl: Math.round(ttl / 1000), signal };
        // Another one may have taken the place of that which we waited for.
        const connection = this.#ready.value;
        if (connection === undefined) continue;
        const reply = readReply(await connection.createCertificate(request));
        assertIs(reply, spiffeId);
        this.#learn(reply);
        return reply.chain;
      } catch (error) {
        if (MeshError.is(error) && error.code === "ATTACHE_MESH_UNAUTHENTICATED") tokens.forget();
        if (signal.aborted || !mayPass(error) || backoff.failures + 1 >= patience) throw error;
        await backoff.pause(error, signal);
      }
    }
  }

  /** istiod signs with its new root a while before that is listed everywhere. */
  #learn(reply: Reply): void {
    const listed = this.#roots.value ?? [];
    const now = this.#context.clock.now();
    if (leadsTo(reply, listed, now) || !leadsTo(reply, reply.roots, now)) return;
    this.#roots.publish([...listed, ...reply.roots]);
  }

  async #connected(signal: AbortSignal): Promise<void> {
    if (this.#ready.value !== undefined) return;
    const { clock } = this.#context;
    this.#waiting += 1;
    try {
      for await (const connection of this.#ready.subscribe(signal)) if (connection !== undefined) break;
      await clock.sleep(clock.random() * this.#waiting * spreadMs, signal);
    } finally {
      this.#waiting -= 1;
    }
  }

  async #follow(): Promise<void> {
    const { clock } = this.#context;
    const over = new AbortController();
    const signal = AbortSignal.any([this.#disposed.signal, over.signal]);
    const connection = new CaConnection(this.#endpoint, clock);
    signal.addEventListener("abort", () => connection[Symbol.dispose](), { once: true });
    try {
      await Promise.all([this.#followRoots(connection, signal), this.#attend(connection, signal)]);
    } catch (error) {
      // The disposal, or a bug of ours; in its case the next watch begins anew.
      this.#following = undefined;
      this.#roots.fail(error);
      this.#ready.fail(error);
    } finally {
      over.abort();
    }
  }

  /** Looks for the roots again and again; what was found last stays meanwhile. */
  async #followRoots(connection: CaConnection, signal: AbortSignal): Promise<never> {
    const { cluster, clock } = this.#context;
    const backoff = new Backoff(clock);
    for (;;) {
      try {
        for await (const found of followRoots(this.#settings.roots, { cluster, clock, signal })) {
          backoff.succeeded();
          if (MeshError.is(found)) this.#missing(found);
          else if (!isSame(found, this.#listed)) {
            this.#listed = found;
            connection.trust(found);
            this.#roots.publish(found);
          }
        }
        throw new TypeError("the roots ended without an error");
      } catch (error) {
        if (signal.aborted || !MeshError.is(error)) throw error;
        this.#missing(error);
        await backoff.pause(error, signal);
      }
    }
  }

  /** With the roots of before istiod can still be reached, as long as they are its own. */
  #missing(error: MeshError): void {
    if (this.#listed.length > 0)
      this.#context.logger.warn({ err: error }, "the mesh's roots are not found any more");
    else this.#disconnected(error);
  }

  async #attend(connection: CaConnection, signal: AbortSignal): Promise<void> {
    for await (const isReady of connection.readiness()) {
      this.#ready.publish(isReady ? connection : undefined);
      if (isReady) this.#context.connection({ connected: true });
      else this.#disconnected(await this.#reason(signal));
    }
  }

  /** gRPC only says that it cannot connect. */
  async #reason(signal: AbortSignal): Promise<MeshError> {
    const problem = await tryHandshake(this.#endpoint, this.#listed, this.#context.clock, signal);
    return (
      problem ??
      new MeshError(
        "ATTACHE_MESH_UNREACHABLE",
        `the connection to ${this.#endpoint.address} broke; it is made again`,
        { remedy: "Nothing, if istiod restarts. Else look at its log, and at what is in between." },
      )
    );
  }

  #disconnected(error: MeshError): void {
    this.#context.connection({ connected: false, error });
  }
}

function isSame(one: readonly Certificate[], other: readonly Certificate[]): boolean {
  const printsOf = (roots: readonly Certificate[]) => roots.map(({ fingerprint }) => fingerprint).join();
  return printsOf(one) === printsOf(other);
}

/** What the connection will meet too, and report as its state, or what passes by itself. */
function mayPass(error: unknown): boolean {
  return MeshError.is(error) && passing.has(error.code) && error.retryAfterMs === undefined;
}

const passing: ReadonlySet<string> = new Set([
  "ATTACHE_MESH_UNREACHABLE",
  "ATTACHE_MESH_UNAVAILABLE",
  "ATTACHE_MESH_TIMEOUT",
]);

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
