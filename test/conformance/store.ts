/**
 * The suite that every store must pass, whatever it keeps things in. Like the adapters' it needs no test
 * runner:
 *
 *     for (const { name, run, skip } of storeConformance(subject)) it.skipIf(skip !== undefined)(name, run);
 */
import assert from "node:assert/strict";
import type { Status } from "../../src/api/mesh-certificate.ts";
import type { ConformanceCase } from "./cases/define.ts";
import { changeCases } from "./store-changes.ts";
import { publicationCases } from "./store-publication.ts";
import { playStore, type StoreScenario } from "./store-scenario.ts";
import type { StoreSubject } from "./store-subject.ts";
import { targetOf } from "./store-target.ts";

export type { StorePeer, StoreSubject } from "./store-subject.ts";

export interface StoreCase {
  readonly name: string;
  readonly body: (scenario: StoreScenario) => Promise<void>;
}

export function storeConformance(subject: StoreSubject): ConformanceCase[] {
  const cases = [...changeCases, ...publicationCases, ...statusCases];
  const names = new Set(cases.map(({ name }) => name));
  for (const gap of Object.keys(subject.gaps ?? {})) assert.ok(names.has(gap), `there is no case "${gap}"`);
  return cases.map(({ name, body }) => {
    const skip = subject.gaps?.[name];
    const run = () => playStore(subject, body);
    return skip === undefined ? { name, run } : { name: `${name} (skipped: ${skip})`, run, skip };
  });
}

const statusCases: readonly StoreCase[] = [
  {
    name: "writes a status once, and tells it with the identity after a restart",
    async body(scenario) {
      const { peer, events } = scenario;
      await events.next("synced");
      const identity = await scenario.put("storefront");
      await scenario.store.report(identity, status("Waiting"));
      await scenario.store.report(identity, status("Waiting"));
      assert.equal(peer.statusWrites(), 1);
      await scenario.restart();
      const { identity: again } = await scenario.events.next("identity");
      assert.deepEqual(again.status, status("Waiting"));
      await scenario.store.report(again, status("Waiting"));
      assert.equal(peer.statusWrites(), 1);
      await scenario.store.report(again, status("Received"));
      assert.equal(peer.statusWrites(), 2);
    },
  },
  {
    name: "forgets the status of an identity that is withdrawn",
    async body(scenario) {
      await scenario.events.next("synced");
      const identity = await scenario.put("storefront");
      await scenario.store.apply(identity, targetOf(identity, "1", scenario.peer.installation));
      await scenario.store.report(identity, status("Waiting"));
      await scenario.peer.remove(`${scenario.peer.namespace}/storefront`);
      await scenario.store.withdraw((await scenario.events.next("gone")).identity);
      const again = await scenario.put("storefront");
      assert.equal(again.status, undefined);
    },
  },
];

function status(reason: string): Status {
  return {
    observedGeneration: 1,
    conditions: [
      {
        type: "SourceReady",
        status: "Unknown",
        reason,
        message: "Says what to do: nothing, yet.",
        lastTransitionTime: "2026-01-01T00:00:00.000Z",
      },
    ],
  };
}
