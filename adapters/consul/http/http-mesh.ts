import {
  type Certificate,
  type Check,
  type Clock,
  type Credential,
  type Mesh,
  type MeshContext,
  MeshError,
  type MeshErrorCode,
  type WatchOptions,
} from "../../../src/mesh/adapter.ts";
import type { ListedRoots } from "../../../src/credentials/certificates.ts";
import { reading } from "../../../src/mesh/kit/errors.ts";
import { PairAssembler, type Parts } from "../../../src/mesh/kit/pair-assembler.ts";
import { mayPass, ReconnectLoop } from "../../../src/mesh/kit/reconnect-loop.ts";
import { forEach } from "../../../src/mesh/kit/retry.ts";
import { LatestValue } from "../../../src/runtime/latest-value.ts";
import type { ConsulIdentity } from "../definition.ts";
import { giveBack } from "../give-back.ts";
import { leafPath, readLeaf, readRoots, rootsPath } from "./answers.ts";
import { type BlockingQuery, blockingQuery } from "./blocking-query.ts";
import { checkAgent } from "./check.ts";
import type { ConsulClient } from "./client.ts";
import { Pace } from "./pace.ts";

/** The query of the roots shows whether the agent is reachable, so it is short; each mesh has one. */
const rootsWaitMs = 60_000;

/** One a watch, so that many of them are not many requests a second: at 10,000 identities 33. */
const leafWaitMs = 300_000;

/**
 * What the query for the roots will meet too, and report as the connection's state, or what passes by itself:
 * while Consul changes its CA, it answers for a moment 500 "provider not initialized".
 */
const passing: ReadonlySet<MeshErrorCode> = new Set<MeshErrorCode>([...mayPass, "ATTACHE_MESH_TLS"]);

/** One Consul agent: a query for the roots that all share, and one for the leaf of each watch. */
export class HttpMesh implements Mesh<ConsulIdentity> {
  readonly #client: ConsulClient;
  readonly #context: MeshContext;
  readonly #clock: Clock;
  readonly #roots = new LatestValue<ListedRoots>();
  readonly #connection: ReconnectLoop;

  constructor(client: ConsulClient, context: MeshContext) {
    const { clock } = context;
    this.#client = client;
    this.#context = context;
    this.#clock = clock;
    const pace = new Pace(clock);
    this.#connection = new ReconnectLoop({
      context,
      connect: (signal) =>
        forEach(this.#query({ path: rootsPath, waitMs: rootsWaitMs, pace, signal }), async (text) => {
          this.#roots.publish((await readRoots(text)).listed);
          this.#connection.markConnected();
        }),
      ended: (error) => this.#roots.fail(error),
    });
  }

  async *watch(identity: ConsulIdentity, { signal }: WatchOptions): AsyncGenerator<Credential> {
    if (identity.serviceAccount !== undefined) throw noServiceAccounts();
    if (!isTakenByAgents(identity.service)) throw noSuchName();
    this.#connection.keep();
    const over = new AbortController();
    const until = AbortSignal.any([signal, this.#connection.signal, over.signal]);
    const credentials = new LatestValue<Credential>();
    using pairs = new PairAssembler({
      clock: this.#clock,
      renewal: latestRenewal,
      complete: (credential) => credentials.publish(credential),
    });
    const add = (parts: Parts) => reading("Consul's leaf", () => pairs.add(parts));
    const work = Promise.all([
      forEach(this.#roots.subscribe(until), add),
      this.#followLeaf(identity, until, (workload) => add({ workload })),
    ]).catch((error: unknown) => credentials.fail(error));
    try {
      yield* credentials.subscribe(until);
    } finally {
      over.abort();
      await work;
    }
  }

  check(): Promise<Check[]> {
    return checkAgent(this.#client, this.#clock);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
    await giveBack(this.#client.logOut(), this.#context);
    this.#client[Symbol.dispose]();
  }

  /** Ends with errors of this service; while the agent is unreachable it waits, and then asks again. */
  #followLeaf(
    { service, namespace, partition }: ConsulIdentity,
    signal: AbortSignal,
    received: (leaf: Awaited<ReturnType<typeof readLeaf>>) => void,
  ): Promise<never> {
    const path = leafPath(service);
    const query = {
      ...(namespace !== undefined && { ns: namespace }),
      ...(partition !== undefined && { partition }),
    };
    const pace = new Pace(this.#clock);
    return this.#connection.retry(
      (succeeded) =>
        forEach(this.#query({ path, query, waitMs: leafWaitMs, pace, signal }), async (text) => {
          received(await readLeaf(text));
          succeeded();
        }),
      signal,
      { passing },
    );
  }

  #query(query: Omit<BlockingQuery, "client" | "clock">): AsyncGenerator<string> {
    return blockingQuery({ ...query, client: this.#client, clock: this.#clock });
  }
}

/**
 * When the agent has renewed the leaf at the latest: it draws a point between 60 and 90 % of the life and
 * does not tell (agent/leafcert, calculateSoftExpiry).
 */
function latestRenewal({ notBefore, notAfter }: Certificate): Date {
  const lifeMs = notAfter.getTime() - notBefore.getTime();
  return new Date(notBefore.getTime() + lifeMs * 0.9);
}

/** An agent takes the name out of a URL's path, which it cleans, and in which all must be printable. */
function isTakenByAgents(service: string): boolean {
  return /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u.test(service) && !/^\.\.?$|\//.test(service);
}

function noSuchName(): MeshError {
  return new MeshError(
    "ATTACHE_MESH_IDENTITY_REFUSED",
    'a Consul agent signs for no service whose name is "." or "..", or has a slash or a character that is not printable',
    { retryable: false, remedy: "Use a mesh with mode grpc: Consul's servers sign for every name." },
  );
}

function noServiceAccounts(): MeshError {
  return new MeshError(
    "ATTACHE_MESH_IDENTITY_REFUSED",
    "with mode http attaché does not log in as a ServiceAccount: an agent returns a leaf that it keeps to every client",
    { retryable: false, remedy: "Use a mesh with mode grpc, or leave `serviceAccount` out." },
  );
}
