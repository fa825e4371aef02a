import {
  Backoff,
  type Check,
  type Credential,
  type Mesh,
  type MeshContext,
  MeshError,
  Newest,
  sleepUntil,
  type WatchOptions,
} from "../../src/mesh/adapter.ts";
import { owedRenewal } from "../../src/mesh/agent-renewal.ts";
import { lookAtAgent } from "./agent-errors.ts";
import { checkAgent } from "./check.ts";
import { choose } from "./choice.ts";
import type { SpiffeIdentity, SpiffeSettings } from "./definition.ts";
import { type Endpoint, endpointOf } from "./endpoint.ts";
import { readSvids, type Svid } from "./svid.ts";
import { followWorkloadApi } from "./workload-stream.ts";

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
  readonly #endpoint: Endpoint;
  readonly #settings: SpiffeSettings;
  readonly #context: MeshContext;
  readonly #given = new Newest<Given>();
  readonly #disposed = new AbortController();
  #following: Promise<void> | undefined;
  #isConnected = false;

  /** @throws MeshError if the environment names no address. */
  constructor(settings: SpiffeSettings, context: MeshContext) {
    this.#endpoint = endpointOf(settings.endpointSocket, context.env);
    this.#settings = settings;
    this.#context = context;
  }

  async *watch(identity: SpiffeIdentity, { signal, current }: WatchOptions): AsyncGenerator<Credential> {
    this.#following ??= this.#follow();
    const until = AbortSignal.any([signal, this.#disposed.signal]);
    let held = current?.chain[0].uris[0];
    let last: { readonly svid: Svid; readonly giveUp: Given["giveUp"] } | undefined;
    let waiting = new AbortController();
    try {
      for await (const { svids, giveUp } of this.#given.subscribe(until)) {
        if (svids.length === 0) continue;
        const svid = choose(svids, identity, held);
        held = svid.id;
        // Most answers are about somebody else's identity.
        if (last?.svid === svid && last.giveUp === giveUp) continue;
        const isNew = last?.svid !== svid;
        const credential = svid.credential();
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
    const { federatedTrustDomains } = this.#settings;
    return checkAgent(this.#endpoint, federatedTrustDomains, this.#context.clock);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { name } = this.#context;
    this.#disposed.abort(new MeshError("ATTACHE_MESH_UNREACHABLE", `the mesh ${name} was disconnected`));
    await this.#following;
  }

  /** An agent that hangs, or does not renew, looks like an idle call. */
  #expectRenewal({ chain }: Credential, giveUp: Given["giveUp"], signal: AbortSignal): void {
    const { clock } = this.#context;
    const { by, error } = owedRenewal(chain[0], clock.now(), lookAtAgent);
    sleepUntil(by, clock, signal).then(
      () => giveUp(error),
      () => undefined,
    );
  }

  /** Connects again and again, until the mesh is disposed of; what has come before stays meanwhile. */
  async #follow(): Promise<void> {
    const { signal } = this.#disposed;
    const backoff = new Backoff(this.#context.clock, { capMs: longestBackoffMs });
    try {
      for (;;) {
        const error = await this.#connect(signal, backoff);
        this.#disconnected(error);
        await backoff.pause(error, signal);
      }
    } catch (error) {
      // The disposal, or a bug of ours; in its case the next watch begins anew.
      this.#following = undefined;
      this.#given.fail(error);
    }
  }

  /** Resolves with the reason why the call ended. */
  async #connect(disposed: AbortSignal, backoff: Backoff): Promise<MeshError> {
    const { clock } = this.#context;
    const over = new AbortController();
    const giveUp = (error: MeshError) => over.abort(error);
    try {
      return await followWorkloadApi({
        endpoint: this.#endpoint,
        clock,
        signal: AbortSignal.any([disposed, over.signal]),
        received: (answer) => {
          const { federatedTrustDomains } = this.#settings;
          const previous = this.#given.value?.svids ?? [];
          const svids = readSvids(answer, { federatedTrustDomains, previous, now: clock.now() });
          backoff.succeeded();
          this.#connected();
          this.#given.publish({ svids, giveUp });
        },
      });
    } catch (error) {
      if (disposed.aborted || !MeshError.is(error)) throw error;
      // Nobody who comes later is given what the agent has taken back.
      if (error.code === "ATTACHE_MESH_FORBIDDEN") this.#given.publish({ svids: [], giveUp });
      return error;
    }
  }

  #connected(): void {
    if (!this.#isConnected) this.#context.connection({ connected: true });
    this.#isConnected = true;
  }

  #disconnected(error: MeshError): void {
    this.#isConnected = false;
    this.#context.connection({ connected: false, error });
  }
}
