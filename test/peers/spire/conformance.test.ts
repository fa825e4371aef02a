import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import type { SpiffeIdentity, SpiffeSettings } from "../../../adapters/spiffe/definition.ts";
import { adapter } from "../../../adapters/spiffe/index.ts";
import { adapterConformance, type Peer, type Subject } from "../../conformance/adapter.ts";
import { openGate } from "../gate.ts";
import { activateRoot, prepareRoot, revokeOldRoot, taintOldRoot } from "./authority.ts";
import { type CreatedEntry, type Spire, startSpire } from "./spire.ts";

interface SpirePeer extends Peer {
  readonly identity: { readonly id: string };
  /** The entry of the peer's identity. */
  readonly create: () => Promise<void>;
  readonly delete: () => Promise<void>;
}

let spire: Spire;
let starts = 0;

beforeAll(async () => {
  spire = await startSpire();
});

afterAll(() => spire[Symbol.asyncDispose]());

/** One SPIRE for all cases; each has an entry of its own, and is the only one that has any. */
async function start(): Promise<SpirePeer> {
  starts += 1;
  const identity = { id: `spiffe://example.org/edge-${starts}` };
  let entry: CreatedEntry | undefined;
  let isRotated = false;
  const create = async () => {
    entry = await spire.createEntry(identity);
  };
  const dropOldRoots = async () => {
    if (isRotated) await revokeOldRoot(spire);
    isRotated = false;
  };
  await create();
  await spire.untilGiven([identity.id]);
  const socketPath = join(spire.folder, `gate-${starts}.sock`);
  const gate = await openGate(spire.socketPath, socketPath);
  return {
    settings: { endpointSocket: `unix://${socketPath}` },
    identity,
    secrets: () => [],
    create,
    delete: async () => entry?.delete(),
    rotate: async () => entry?.touch(),
    async rotateRoot() {
      await prepareRoot(spire);
      await activateRoot(spire);
      await taintOldRoot(spire);
      isRotated = true;
    },
    dropOldRoots,
    stop: () => gate.shut(),
    resume: () => gate.open(),
    async [Symbol.asyncDispose]() {
      await gate[Symbol.asyncDispose]();
      await dropOldRoots();
      await spire.deleteEntries();
    },
  };
}

const other = { id: "spiffe://example.org/another" };

const subject = {
  adapter,
  start,
  faults: [
    {
      when: "no entry gives attaché an identity",
      code: "ATTACHE_MESH_FORBIDDEN",
      inject: (peer) => peer.delete(),
      heal: (peer) => peer.create(),
    },
    {
      when: "the entry for the identity is missing",
      code: "ATTACHE_MESH_FORBIDDEN",
      async inject(peer) {
        await peer.delete();
        await spire.createEntry(other);
      },
      heal: (peer) => peer.create(),
    },
  ],
} satisfies Subject<SpiffeSettings, SpiffeIdentity, SpirePeer>;

describe("the spiffe adapter with a real SPIRE", () => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
