import assert from "node:assert/strict";
import type { MeshCertificate } from "../../src/api/mesh-certificate.ts";
import type { Code } from "../../src/errors/codes.ts";
import type { Manifest } from "../../src/render/manifest.ts";
import type { Store, StoreEvent } from "../../src/store/store.ts";
import type { StorePeer, StoreSubject } from "./store-subject.ts";
import { within } from "./time.ts";

/** One store in one case, and what it tells. */
export interface StoreScenario {
  readonly peer: StorePeer;
  /** The code with which the peer refuses a write that `allowWrites` does not allow. */
  readonly fullCode: Code;
  readonly store: Store;
  /** What the watch tells from now on; nothing is skipped. */
  readonly events: StoreEvents;
  /** Closes the store, as SIGTERM does, and opens it again. */
  restart(meanwhile?: () => Promise<void>): Promise<void>;
  /** Puts an identity there and returns it as the store tells it. */
  put(name: string, spec?: Readonly<Record<string, unknown>>): Promise<MeshCertificate>;
}

export interface StoreEvents {
  /** The next event, which must be of that type. */
  next<T extends StoreEvent["type"]>(type: T): Promise<Extract<StoreEvent, { type: T }>>;
  /** The next event of whatever type. */
  any(): Promise<StoreEvent>;
  /** How the watch ends. */
  end(): Promise<unknown>;
  abort(reason: Error): void;
}

export async function playStore(
  subject: StoreSubject,
  body: (scenario: StoreScenario) => Promise<void>,
): Promise<void> {
  await using peer = await subject.start();
  let opened = await open(peer, subject);
  const scenario: StoreScenario = {
    peer,
    fullCode: subject.fullCode ?? "ATTACHE_STORE_UNWRITABLE",
    get store() {
      return opened.store;
    },
    get events() {
      return opened.events;
    },
    async restart(meanwhile) {
      await opened.close();
      await meanwhile?.();
      opened = await open(peer, subject);
    },
    async put(name, spec = {}) {
      await peer.put(`${peer.namespace}/${name}`, { consul: { service: name }, ...spec });
      return (await opened.events.next("identity")).identity;
    },
  };
  try {
    await body(scenario);
  } finally {
    await opened.close();
  }
}

async function open(peer: StorePeer, { deadlineMs }: StoreSubject) {
  const store = await peer.open();
  const events = follow(store, deadlineMs);
  return {
    store,
    events,
    async close() {
      await events[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

/** Begins a watch, which ends when it is disposed of. */
export function follow(store: Store, deadlineMs = 30_000): StoreEvents & AsyncDisposable {
  const stop = new AbortController();
  const iterator = store.watch(stop.signal)[Symbol.asyncIterator]();
  const nextEvent = async () => {
    const result = await within(deadlineMs, iterator.next(), "the store to tell something");
    assert.ok(result.done !== true, "a watch ends only by throwing");
    return result.value;
  };
  return {
    any: nextEvent,
    async next(type) {
      const event = await nextEvent();
      assert.ok(isOf(event, type), `reported ${JSON.stringify(event)} and not "${type}"`);
      return event;
    },
    async end() {
      for (;;) {
        try {
          await nextEvent();
        } catch (error) {
          return error;
        }
      }
    },
    abort: (reason) => stop.abort(reason),
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the test is over"));
      await iterator.return?.();
    },
  };
}

export function isOf<T extends StoreEvent["type"]>(
  event: StoreEvent,
  type: T,
): event is Extract<StoreEvent, { type: T }> {
  return event.type === type;
}

/** `Secret/storefront-mesh-ca`. */
export function idOf({ kind, metadata }: Manifest): string {
  return `${kind}/${metadata.name}`;
}

export function sorted(manifests: readonly Manifest[]): Manifest[] {
  return manifests.toSorted((one, other) => idOf(one).localeCompare(idOf(other)));
}
