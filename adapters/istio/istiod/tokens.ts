import type { Clock, ServiceAccountToken, TokenRequest } from "../../../src/mesh/adapter.ts";

/** The least that the API server gives: a token is wanted for a moment only, once in a leaf's life. */
const expirationSeconds = 600;

/** What is left of a token must do for the way to istiod and its review, and for clocks that differ. */
const marginMs = 60_000;

interface TokensOptions {
  readonly serviceAccount: string;
  readonly audience: string;
  readonly mint: (request: TokenRequest) => Promise<ServiceAccountToken>;
  readonly clock: Clock;
}

/** The tokens of one ServiceAccount: minted when one is wanted, and used again while the last one is good. */
export class Tokens {
  readonly #options: TokensOptions;
  #last: ServiceAccountToken | undefined;

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  /** @throws MeshError `ATTACHE_MESH_TOKEN` */
  async get(signal: AbortSignal): Promise<string> {
    const { serviceAccount, audience, mint, clock } = this.#options;
    const isGood =
      this.#last !== undefined && this.#last.expiresAt.getTime() - marginMs > clock.now().getTime();
    if (!isGood)
      this.#last = await mint({ serviceAccount, audiences: [audience], expirationSeconds, signal });
    return this.#last?.token ?? "";
  }

  /** To be called when the last one was refused: the ServiceAccount may have been recreated. */
  forget(): void {
    this.#last = undefined;
  }
}
