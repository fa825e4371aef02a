import assert from "node:assert/strict";
import { within, promptMs } from "./time.ts";
import type { StoreCase } from "./store.ts";
import { idOf } from "./store-scenario.ts";
import { targetOf } from "./store-target.ts";

/** The events of a store: MeshCertificates, and changes that others make to what it publishes. */
export const changeCases: readonly StoreCase[] = [
  {
    name: "tells every identity that there is, then that this is all",
    async body(scenario) {
      await scenario.events.next("synced");
      await scenario.put("billing");
      await scenario.put("storefront");
      await scenario.restart();
      const both = [await scenario.events.next("identity"), await scenario.events.next("identity")];
      assert.deepEqual(both.map(({ identity }) => identity.metadata.name).toSorted(), [
        "billing",
        "storefront",
      ]);
      await scenario.events.next("synced");
    },
  },
  {
    name: "gives an identity a UID that stays, and a generation that rises with its spec",
    async body(scenario) {
      await scenario.events.next("synced");
      const first = await scenario.put("storefront");
      const second = await scenario.put("storefront", { target: { secret: "other" } });
      assert.ok(first.metadata.uid !== undefined && first.metadata.uid !== "");
      assert.equal(second.metadata.uid, first.metadata.uid);
      assert.ok((second.metadata.generation ?? 0) > (first.metadata.generation ?? 0));
      assert.equal(second.spec.target.secret, "other");
      await scenario.store.report(second, { conditions: [] });
      await scenario.restart();
      const { identity: third } = await scenario.events.next("identity");
      assert.equal(third.metadata.uid, second.metadata.uid);
      assert.equal(third.metadata.generation, second.metadata.generation);
    },
  },
  {
    name: "reports nothing for an identity that is written again as it was",
    async body(scenario) {
      await scenario.events.next("synced");
      await scenario.put("storefront");
      await scenario.peer.put(`${scenario.peer.namespace}/storefront`, { consul: { service: "storefront" } });
      assert.equal((await scenario.put("billing")).metadata.name, "billing");
    },
  },
  {
    name: "tells that an identity is gone",
    async body(scenario) {
      await scenario.events.next("synced");
      const identity = await scenario.put("storefront");
      await scenario.peer.remove(`${scenario.peer.namespace}/storefront`);
      const { identity: gone } = await scenario.events.next("gone");
      assert.equal(gone.metadata.uid, identity.metadata.uid);
    },
  },
  {
    name: "tells after a restart of an identity that went while no store was open",
    async body(scenario) {
      const { peer } = scenario;
      await scenario.events.next("synced");
      const identity = await scenario.put("storefront");
      await scenario.put("billing");
      await scenario.store.apply(identity, targetOf(identity, "1", peer.installation));
      await scenario.restart(() => peer.remove(`${peer.namespace}/storefront`));
      const both = [await scenario.events.any(), await scenario.events.any()];
      assert.deepEqual(both.map(({ type }) => type).toSorted(), ["gone", "identity"]);
      const gone = both.find((event) => event.type === "gone");
      assert.equal(gone?.identity.metadata.uid, identity.metadata.uid);
      if (gone !== undefined) await scenario.store.withdraw(gone.identity);
      assert.deepEqual(await peer.objects(), []);
    },
  },
  {
    name: "reports an object that another client edits or deletes, and an apply repairs it with one write",
    async body({ events, store, peer, ...scenario }) {
      await events.next("synced");
      const identity = await scenario.put("storefront");
      const target = targetOf(identity, "1", peer.installation);
      await store.apply(identity, target);
      for (const manifest of target) {
        await peer.removeObject(manifest);
        assert.equal((await events.next("drift")).key, `${peer.namespace}/storefront`);
        assert.deepEqual(await store.apply(identity, target), { writes: 1 });
        const [ca, leaf, context] = targetOf(identity, "edited", peer.installation);
        const edited = [ca, leaf, { ...context, metadata: { ...context.metadata, labels: { by: "hand" } } }];
        await peer.putObject(edited[target.indexOf(manifest)] ?? manifest);
        assert.equal((await events.next("drift")).key, `${peer.namespace}/storefront`);
        assert.deepEqual(await store.apply(identity, target), { writes: 1 });
      }
      assert.deepEqual((await peer.objects()).map(idOf).toSorted(), target.map(idOf).toSorted());
    },
  },
  {
    name: "does not take its own writes for another client's",
    async body({ events, store, peer, ...scenario }) {
      await events.next("synced");
      const identity = await scenario.put("storefront");
      for (const version of ["1", "2", "3"]) {
        await store.apply(identity, targetOf(identity, version, peer.installation));
        await store.report(identity, { conditions: [] });
      }
      assert.equal((await scenario.put("billing")).metadata.name, "billing");
    },
  },
  {
    name: "ends its watch promptly on abort, with the signal's reason",
    async body({ events }) {
      await events.next("synced");
      const ended = events.end();
      const reason = new Error("enough");
      events.abort(reason);
      assert.equal(await within(promptMs, ended, "the end of an aborted watch"), reason);
    },
  },
];
