import type {
  Check,
  Credential,
  Mesh,
  MeshContext,
  MeshError,
  WatchOptions,
} from "../../src/mesh/adapter.ts";
import { expectedRenewal } from "../../src/mesh/kit/agent-renewal.ts";
import { ReconnectLoop } from "../../src/mesh/kit/reconnect-loop.ts";
import { LatestValue } from "../../src/runtime/latest-value.ts";
import { PairAssembler } from "../../src/mesh/kit/pair-assembler.ts";
import type { IstioIdentity } from "./definition.ts";
import { assertCarries } from "./credential-checks.ts";
import type { AgentParts } from "./parts.ts";

/** What gives the identity of attaché's own pod: the Istio agent, or the files that it writes. */
export interface IdentityFeed {
  /**
   * Ends only by throwing: the signal's reason, or a MeshError that says why it can be followed no longer.
   */
  follow(following: Following): Promise<never>;
  check(): Promise<Check[]>;
}

export interface Following {
  readonly signal: AbortSignal;
  /** Some has come; `complete` when all that was given last could be used. */
  readonly received: (parts: AgentParts, complete: boolean) => void;
  /** What was given last cannot be used, or is owed. */
  readonly refused: (error: MeshError) => void;
}

/** One identity, attaché's own, and one source of it for all who watch it. */
export class OwnIdentityMesh implements Mesh<IstioIdentity> {
  readonly #source: IdentityFeed;
  readonly #credential = new LatestValue<Credential>();
  readonly #settling: PairAssembler;
  readonly #connection: ReconnectLoop;

  constructor(source: IdentityFeed, context: MeshContext) {
    this.#source = source;
    this.#settling = new PairAssembler({
      clock: context.clock,
      renewal: expectedRenewal,
      complete: (credential) => this.#credential.publish(credential),
    });
    this.#connection = new ReconnectLoop({
      context,
      connect: (signal) => this.#follow(signal),
      ended: (error) => this.#credential.fail(error),
    });
  }

  async *watch(identity: IstioIdentity, { signal, ...bearer }: WatchOptions): AsyncGenerator<Credential> {
    this.#connection.keep();
    const until = AbortSignal.any([signal, this.#connection.signal]);
    for await (const credential of this.#credential.subscribe(until)) {
      assertCarries(credential, identity, bearer);
      yield credential;
    }
  }

  check(): Promise<Check[]> {
    return this.#source.check();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
    this.#settling[Symbol.dispose]();
  }

  #follow(signal: AbortSignal): Promise<never> {
    return this.#source.follow({
      signal,
      received: (parts, complete) => {
        if (complete) this.#connection.markConnected();
        this.#settling.add(parts);
      },
      refused: (error) => this.#connection.markDisconnected(error),
    });
  }
}
