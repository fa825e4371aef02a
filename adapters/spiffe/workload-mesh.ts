import {
  type Check,
  type Clock,
  type Credential,
  type Mesh,
  type MeshContext,
  MeshError,
  LatestValue,
  sleepUntil,
  type WatchOptions,
} from "../../src/mesh/adapter.ts";
import { owedRenewal } from "../../src/mesh/kit/agent-renewal.ts";
import { ReconnectLoop } from "../../src/mesh/kit/reconnect-loop.ts";
import { followWorkloadApi, lookAtAgent } from "./agent.ts";
import { checkAgent } from "./check.ts";
import { choose } from "./choice.ts";
import type { SpiffeIdentity, SpiffeSettings } from "./definition.ts";
import { endpointOf, type WorkloadEndpoint } from "./endpoint.ts";
import { readSvids, type Svid } from "./svid.ts";

/** What the agent last said. */
interface Given {
  /** Empty while it refuses attaché any. */
  readonly svids: readonly Svid[];
  /** Ends the call that it came with, so that the agent is asked afresh. */
  readonly giveUp: (error: MeshError) => void;
}

/** The agent is on this machine, and an entry that appears should not be waited for long. */
const longestBackoffMs = 10_000;

/** The agent of attaché's own node: all identities that it gives attaché, over one call for all who watch. */
export class WorkloadMesh implements Mesh<SpiffeIdentity> {
  readonly #endpoint: WorkloadEndpoint;
  readonly #settings: SpiffeSettings;
  readonly #clock: Clock;
  readonly #given = new LatestValue<Given>();
  readonly #connection: ReconnectLoop;

  /** @throws MeshError if the environment names no address. */
  constructor(settings: SpiffeSettings, context: MeshContext) {
    this.#endpoint = endpointOf(settings.endpointSocket, context.env);
    this.#settings = settings;
    this.#clock = context.clock;
    this.#connection = new ReconnectLoop({
      context,
      connect: (signal) => this.#follow(signal),
      ended: (error) => this.#given.fail(error),
      backoff: { capMs: longestBackoffMs },
    });
  }

  async *watch(identity: SpiffeIdentity, { signal, current }: WatchOptions): AsyncGenerator<Credential> {
    this.#connection.keep();
    const until = AbortSignal.any([signal, this.#connection.signal]);
    let held = current?.chain[0].uris[0];
    let last: { readonly svid: Svid; readonly giveUp: Given["giveUp"] } | undefined;
    let waiting = new AbortController();
    try {
      for await (const { svids, giveUp } of this.#given.subscribe(until)) {
        if (svids.length === 0) continue;
        const svid = choose(svids, identity, held);
        held = svid.id;
        // Most answers are about another caller's identity.
        if (last?.svid === svid && last.giveUp === giveUp) continue;
        const isNew = last?.svid !== svid;
        const credential = await svid.credential();
        last = { svid, giveUp };
        waiting.abort();
        waiting = new AbortController();
        // Also ended with the watch itself, which a consumer may leave without a word.
        this.#expectRenewal(credential, giveUp, AbortSignal.any([until, waiting.signal]));
        if (isNew) yield credential;
      }
    } finally {
      waiting.abort();
    }
  }

  check(): Promise<Check[]> {
    return checkAgent(this.#endpoint, this.#settings.federatedTrustDomains, this.#clock);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#connection[Symbol.asyncDispose]();
  }

  /** An agent that hangs, or does not renew, looks like an idle call. */
  #expectRenewal({ chain }: Credential, giveUp: Given["giveUp"], signal: AbortSignal): void {
    const { by, error } = owedRenewal(chain[0], this.#clock.now(), lookAtAgent);
    sleepUntil(by, this.#clock, signal).then(
      () => giveUp(error),
      () => undefined,
    );
  }

  async #follow(disposed: AbortSignal): Promise<never> {
    const over = new AbortController();
    const giveUp = (error: MeshError) => over.abort(error);
    try {
      return await followWorkloadApi({
        endpoint: this.#endpoint,
        clock: this.#clock,
        signal: AbortSignal.any([disposed, over.signal]),
        received: (answer) => {
          const { federatedTrustDomains } = this.#settings;
          const previous = this.#given.value?.svids ?? [];
          const svids = readSvids(answer, { federatedTrustDomains, previous, now: this.#clock.now() });
          this.#connection.markConnected();
          this.#given.publish({ svids, giveUp });
        },
      });
    } catch (error) {
      // A later caller does not get what the agent has taken back.
      if (MeshError.is(error) && error.code === "ATTACHE_MESH_FORBIDDEN") {
        this.#given.publish({ svids: [], giveUp });
      }
      throw error;
    }
  }
}
