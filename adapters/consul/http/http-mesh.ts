import {
  type Certificate,
  type Check,
  type Clock,
  type Credential,
  type Mesh,
  type MeshContext,
  MeshError,
  type WatchOptions,
} from "../../../src/mesh/adapter.ts";
import { Backoff } from "../../../src/runtime/backoff.ts";
import { LatestValue } from "../../../src/runtime/latest-value.ts";
import { type AgentLeaf, leafPath, readLeaf, readRoots, rootsPath } from "./answers.ts";
import { Assembly } from "./assembly.ts";
import { type BlockingQuery, blockingQuery } from "./blocking-query.ts";
import { checkAgent } from "./check.ts";
import type { ConsulClient } from "./client.ts";
import type { ConsulIdentity } from "../definition.ts";
import { giveBack } from "../give-back.ts";
import { Pace } from "./pace.ts";

/** The query of the roots shows whether the agent is reachable, so it is short; each mesh has one. */
const rootsWaitMs = 60_000;

/** One a watch, so that many of them are not many requests a second: at 10,000 identities 33. */
const leafWaitMs = 300_000;

/** How far apart the watches come back to an agent that was away: 200 a second. */
const spreadMs = 5;

/** After so many failures in a row, while the agent answers others, a watch ends with its own error. */
const maxFailures = 3;

/** One Consul agent: a query for the roots that all share, and one for the leaf of each watch. */
export class HttpMesh implements Mesh<ConsulIdentity> {
  readonly #client: ConsulClient;
  readonly #context: MeshContext;
  readonly #clock: Clock;
  readonly #bundle = new LatestValue<readonly Certificate[]>();
  readonly #isConnected = new LatestValue<boolean>();
  readonly #disposed = new AbortController();
  #watches = 0;
  #following: Promise<void> | undefined;

  constructor(client: ConsulClient, context: MeshContext) {
    this.#client = client;
    this.#context = context;
    this.#clock = context.clock;
  }

  async *watch(identity: ConsulIdentity, { signal }: WatchOptions): AsyncGenerator<Credential> {
    if (identity.serviceAccount !== undefined) throw noServiceAccounts();
    this.#following ??= this.#followRoots();
    this.#watches += 1;
    const over = new AbortController();
    const until = AbortSignal.any([signal, this.#disposed.signal, over.signal]);
    const credentials = new LatestValue<Credential>();
    using assembly = new Assembly(this.#clock, (credential) => credentials.publish(credential));
    const work = Promise.all([
      this.#followBundle(until, (bundle) => assembly.setBundle(bundle)),
      this.#followLeaf(identity, until, (leaf) => assembly.setLeaf(leaf)),
    ]).catch((error: unknown) => credentials.fail(error));
    try {
      yield* credentials.subscribe(until);
    } finally {
      this.#watches -= 1;
      over.abort();
      await work;
    }
  }

  check(): Promise<Check[]> {
    return checkAgent(this.#client, this.#clock);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { name } = this.#context;
    this.#disposed.abort(new MeshError("ATTACHE_MESH_UNREACHABLE", `the mesh ${name} was disconnected`));
    await this.#following;
    await giveBack(this.#client.logOut(), this.#context);
    this.#client[Symbol.dispose]();
  }

  async #followBundle(
    signal: AbortSignal,
    received: (bundle: readonly Certificate[]) => void,
  ): Promise<never> {
    for await (const bundle of this.#bundle.subscribe(signal)) received(bundle);
    throw new TypeError("a subscription ended without an error");
  }

  /** Ends with errors of this service; while the agent is unreachable it waits, and then asks again. */
  async #followLeaf(
    { service, namespace, partition }: ConsulIdentity,
    signal: AbortSignal,
    received: (leaf: AgentLeaf) => void,
  ): Promise<never> {
    const path = leafPath(service);
    const query = {
      ...(namespace !== undefined && { ns: namespace }),
      ...(partition !== undefined && { partition }),
    };
    const backoff = new Backoff(this.#clock);
    const pace = new Pace(this.#clock);
    for (;;) {
      await this.#connected(signal);
      try {
        for await (const text of this.#query({ path, query, waitMs: leafWaitMs, pace, signal })) {
          received(readLeaf(text));
          backoff.succeeded();
        }
      } catch (error) {
        const isOwn = this.#isConnected.value === true && backoff.failures + 1 >= maxFailures;
        if (signal.aborted || !mayPass(error) || isOwn) throw error;
        await backoff.pause(error, signal);
      }
    }
  }

  async #connected(signal: AbortSignal): Promise<void> {
    if (this.#isConnected.value === true) return;
    for await (const isConnected of this.#isConnected.subscribe(signal)) if (isConnected) break;
    await this.#clock.sleep(this.#clock.random() * this.#watches * spreadMs, signal);
  }

  /** Asks again and again, until the mesh is disposed of; what has come before stays meanwhile. */
  async #followRoots(): Promise<void> {
    const { signal } = this.#disposed;
    const backoff = new Backoff(this.#clock);
    const pace = new Pace(this.#clock);
    try {
      for (;;) {
        const error = await this.#askForRoots(pace, backoff);
        this.#disconnected(error);
        await backoff.pause(error, signal);
      }
    } catch (error) {
      // The disposal, or a bug in attaché; after a bug the next watch begins again.
      this.#following = undefined;
      this.#bundle.fail(error);
    }
  }

  /** Resolves with the reason why the agent cannot be followed any longer. */
  async #askForRoots(pace: Pace, backoff: Backoff): Promise<MeshError> {
    const { signal } = this.#disposed;
    try {
      for await (const text of this.#query({ path: rootsPath, waitMs: rootsWaitMs, pace, signal })) {
        this.#bundle.publish(readRoots(text).bundle);
        backoff.succeeded();
        this.#reconnected();
      }
      throw new TypeError("a blocking query ended without an error");
    } catch (error) {
      if (signal.aborted || !MeshError.is(error)) throw error;
      return error;
    }
  }

  #query(query: Omit<BlockingQuery, "client" | "clock">): AsyncGenerator<string> {
    return blockingQuery({ ...query, client: this.#client, clock: this.#clock });
  }

  #reconnected(): void {
    if (this.#isConnected.value === true) return;
    this.#isConnected.publish(true);
    this.#context.connection({ connected: true });
  }

  #disconnected(error: MeshError): void {
    this.#isConnected.publish(false);
    this.#context.connection({ connected: false, error });
  }
}

function noServiceAccounts(): MeshError {
  return new MeshError(
    "ATTACHE_MESH_IDENTITY_REFUSED",
    "with mode http attaché does not log in as a ServiceAccount: an agent returns a leaf that it keeps to every client",
    { retryable: false, remedy: "Use a mesh with mode grpc, or leave `serviceAccount` out." },
  );
}

/**
 * What the query for the roots will meet too, and report as the connection's state, or what passes by itself: while
 * Consul changes its CA, it answers for a moment 500 "provider not initialized". A pause that Consul asks for is left
 * to the caller, who shows the reason meanwhile.
 */
function mayPass(error: unknown): boolean {
  return MeshError.is(error) && passing.has(error.code) && error.retryAfterMs === undefined;
}

const passing: ReadonlySet<string> = new Set([
  "ATTACHE_MESH_UNREACHABLE",
  "ATTACHE_MESH_UNAVAILABLE",
  "ATTACHE_MESH_TIMEOUT",
  "ATTACHE_MESH_TLS",
]);
