import assert from "node:assert/strict";
import type { MeshCertificate } from "../../src/api/mesh-certificate.ts";
import { AttacheError } from "../../src/errors/attache-error.ts";
import type { Code } from "../../src/errors/codes.ts";
import type { Manifest } from "../../src/render/manifest.ts";
import { targetNames } from "../../src/render/names.ts";
import type { StoreCase } from "./store.ts";
import { idOf, sorted, type StoreScenario } from "./store-scenario.ts";
import { targetOf, type TargetVersion } from "./store-target.ts";

const inOrder = ["+Secret/storefront-mesh-ca", "+Secret/storefront-mesh-cert", "+TLSContext/storefront"];
const [caFirst = "", thenLeaf = "", thenContext = ""] = inOrder;

/** How a store publishes targets, and takes them back. */
export const publicationCases: readonly StoreCase[] = [
  {
    name: "publishes a target in the given order, and reads it back",
    async body(scenario) {
      const { identity, target } = await published(scenario);
      assert.deepEqual(scenario.peer.changes(), inOrder);
      assert.deepEqual(sorted(await scenario.peer.objects()), sorted(target));
      assert.deepEqual(sorted(await scenario.store.read(identity)), sorted(target));
    },
  },
  {
    name: "writes nothing when nothing differs, not even after a restart",
    async body(scenario) {
      const { identity, target } = await published(scenario);
      assert.deepEqual(await scenario.store.apply(identity, target), { writes: 0 });
      await scenario.restart();
      const { identity: again } = await scenario.events.next("identity");
      assert.deepEqual(sorted(await scenario.store.read(again)), sorted(target));
      assert.deepEqual(await scenario.store.apply(again, target), { writes: 0 });
      assert.deepEqual(scenario.peer.changes(), inOrder);
    },
  },
  {
    name: "writes the one object that differs, and no other",
    async body(scenario) {
      const { identity } = await published(scenario);
      const changes = async (version: TargetVersion) => {
        const before = scenario.peer.changes().length;
        const target = targetOf(identity, version, scenario.peer.installation);
        assert.deepEqual(await scenario.store.apply(identity, target), { writes: 1 });
        assert.deepEqual(sorted(await scenario.store.read(identity)), sorted(target));
        return scenario.peer.changes().slice(before);
      };
      assert.deepEqual(await changes({ ca: "1", leaf: "2" }), [thenLeaf]);
      assert.deepEqual(await changes({ ca: "2", leaf: "2" }), [caFirst]);
      assert.deepEqual(await changes({ ca: "2", leaf: "2", alpn: "h2" }), [thenContext]);
    },
  },
  {
    name: "keeps every label as it is, whatever a format might take it for",
    async body(scenario) {
      await scenario.events.next("synced");
      const words = [
        "on",
        "y",
        "no",
        "012",
        "1_000",
        "1e3",
        "1-20",
        "0x1f",
        "null",
        "2026-01-01",
        "1.0",
        "true",
        "",
      ];
      const labels = Object.fromEntries(words.map((word) => [`a${word}`, word]));
      const identity = await scenario.put("storefront", { target: { labels } });
      const target = targetOf(identity, "1", scenario.peer.installation);
      await scenario.store.apply(identity, target);
      assert.deepEqual(sorted(await scenario.peer.objects()), sorted(target));
    },
  },
  {
    name: "takes a Secret with revocation lists with the context that names it, and away behind it",
    async body(scenario) {
      const { peer } = scenario;
      await scenario.events.next("synced");
      const identity = await scenario.put("storefront", { target: { crlSecret: "storefront-crl" } });
      const [ca, leaf, context] = targetOf(identity, "1", peer.installation);
      assert.ok(leaf.kind === "Secret" && context.kind === "TLSContext");
      const metadata = { ...leaf.metadata, name: "storefront-crl" };
      const crl: Manifest = { ...leaf, metadata, type: "Opaque", data: { "crl.pem": "bGlzdHM=" } };
      const naming = { ...context, spec: { ...context.spec, crl_secret: "storefront-crl" } };
      const target = [ca, crl, leaf, naming];
      assert.deepEqual(await scenario.store.apply(identity, target), { writes: 4 });
      await scenario.restart();
      const { identity: again } = await scenario.events.next("identity");
      assert.deepEqual(sorted(await scenario.store.read(again)), sorted(target));
      assert.deepEqual(await scenario.store.apply(again, target), { writes: 0 });
      await scenario.store.apply(again, [ca, leaf, context]);
      // On an API server a field of the object's creation takes a request of its own.
      const changes = new Set(peer.changes().slice(4));
      assert.deepEqual([...changes], [thenContext, "-Secret/storefront-crl"]);
      await scenario.store.apply(again, target);
      await scenario.store.withdraw(again);
      assert.deepEqual(await peer.objects(), []);
    },
  },
  ...[0, 1, 2].map((count) => ({
    name: `stops in order when the store is full after ${count} writes, and a later apply completes it`,
    async body(scenario: StoreScenario) {
      const { peer } = scenario;
      await scenario.events.next("synced");
      const identity = await scenario.put("storefront");
      const target = targetOf(identity, "1", peer.installation);
      peer.allowWrites(count);
      await assert.rejects(scenario.store.apply(identity, target), isRefusal(scenario.fullCode));
      assert.deepEqual(peer.changes(), inOrder.slice(0, count));
      peer.allowWrites(Infinity);
      await scenario.restart();
      const { identity: again } = await scenario.events.next("identity");
      assert.deepEqual(await scenario.store.apply(again, target), { writes: 3 - count });
      assert.deepEqual(peer.changes(), inOrder);
    },
  })),
  {
    name: "leaves an object alone that another client owns",
    async body(scenario) {
      const { peer } = scenario;
      await scenario.events.next("synced");
      const identity = await scenario.put("storefront");
      const target = targetOf(identity, "1", peer.installation);
      for (const [index, strange] of foreign(identity, peer.installation).entries()) {
        await peer.putObject(strange);
        const refused = scenario.store.apply(identity, target);
        await assert.rejects(refused, isRefusal("ATTACHE_STORE_TARGET_TAKEN"), `object ${index}`);
        assert.ok(!(await scenario.store.read(identity)).some((one) => idOf(one) === idOf(strange)));
        await scenario.store.withdraw(identity);
        assert.deepEqual(await peer.objects(), [strange]);
        await peer.removeObject(strange);
      }
      assert.deepEqual(await scenario.store.apply(identity, target), { writes: 3 });
    },
  },
  {
    name: "gives a name that two identities want to the first, and not to the second",
    async body(scenario) {
      const { peer, store } = scenario;
      const { target } = await published(scenario);
      const other = await scenario.put("other", { target: { caSecret: "storefront-mesh-ca" } });
      const wanted = targetOf(other, "2", peer.installation);
      await assert.rejects(store.apply(other, wanted), isRefusal("ATTACHE_STORE_TARGET_TAKEN"));
      const names = new Set(target.map(idOf));
      assert.deepEqual(sorted((await peer.objects()).filter((one) => names.has(idOf(one)))), sorted(target));
    },
  },
  {
    name: "withdraws context, leaf and CA in this order",
    async body(scenario) {
      const { identity } = await published(scenario);
      await scenario.store.withdraw(identity);
      assert.deepEqual(scenario.peer.changes().slice(3), withdrawn("storefront"));
      assert.deepEqual(await scenario.peer.objects(), []);
      await scenario.store.withdraw(identity);
      assert.equal(scenario.peer.changes().length, 6);
    },
  },
  {
    name: "withdraws what a target no longer names, after the new is published",
    async body(scenario) {
      const { peer } = scenario;
      await published(scenario);
      const names = { secret: "b-mesh-cert", caSecret: "b-mesh-ca", tlsContext: { name: "b" } };
      const renamed = await scenario.put("storefront", { target: names });
      await scenario.restart();
      await scenario.events.next("identity");
      const target = targetOf(renamed, "1", peer.installation);
      assert.deepEqual(await scenario.store.apply(renamed, target), { writes: 3 });
      assert.deepEqual(peer.changes().slice(3), [
        ...["+Secret/b-mesh-ca", "+Secret/b-mesh-cert", "+TLSContext/b"],
        ...withdrawn("storefront"),
      ]);
      assert.deepEqual(sorted(await peer.objects()), sorted(target));
    },
  },
  {
    name: "reads what is published for one identity, and nothing of another",
    async body(scenario) {
      const { target, identity } = await published(scenario);
      const other = await scenario.put("billing");
      assert.deepEqual(await scenario.store.read(other), []);
      await scenario.store.apply(other, targetOf(other, "2", scenario.peer.installation));
      assert.deepEqual(sorted(await scenario.store.read(identity)), sorted(target));
    },
  },
  {
    name: "publishes different identities at the same time, each in its order",
    async body(scenario) {
      const { peer, store } = scenario;
      await scenario.events.next("synced");
      const names = Array.from({ length: 12 }, (_, index) => `edge-${index}`);
      const identities: MeshCertificate[] = [];
      for (const name of names) identities.push(await scenario.put(name));
      await Promise.all(identities.map((one) => store.apply(one, targetOf(one, "1", peer.installation))));
      for (const name of names) {
        const own = peer.changes().filter((change) => change.match(`/${name}(?:-mesh|$)`));
        assert.deepEqual(own, [
          `+Secret/${name}-mesh-ca`,
          `+Secret/${name}-mesh-cert`,
          `+TLSContext/${name}`,
        ]);
      }
    },
  },
];

async function published(
  scenario: StoreScenario,
): Promise<{ identity: MeshCertificate; target: Manifest[] }> {
  await scenario.events.next("synced");
  const identity = await scenario.put("storefront");
  const target = targetOf(identity, "1", scenario.peer.installation);
  assert.deepEqual(await scenario.store.apply(identity, target), { writes: 3 });
  return { identity, target };
}

function withdrawn(name: string): string[] {
  return [`-TLSContext/${name}`, `-Secret/${name}-mesh-cert`, `-Secret/${name}-mesh-ca`];
}

/** The same three objects as another client would have made them, and a fourth of another identity of attaché. */
function foreign(identity: MeshCertificate, installation: string): Manifest[] {
  const unmarked = targetOf(identity, "foreign", installation).map((manifest) => ({
    ...manifest,
    metadata: { ...manifest.metadata, annotations: {} },
  }));
  const [elsewhere] = targetOf(identity, "foreign", "another-installation");
  const { tlsContext, ...names } = targetNames(identity);
  const other = {
    ...identity,
    metadata: { ...identity.metadata, name: "other", uid: "00000000-0000-8000-8000-000000000000" },
    spec: {
      ...identity.spec,
      target: {
        ...identity.spec.target,
        ...names,
        tlsContext: { ...identity.spec.target.tlsContext, name: tlsContext },
      },
    },
  };
  const [, , ofAnother] = targetOf(other, "foreign", installation);
  return [...unmarked, elsewhere, ofAnother];
}

function isRefusal(code: Code): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof AttacheError, String(error));
    assert.equal(error.code, code);
    assert.ok(error.remedy.length > 0);
    return true;
  };
}
