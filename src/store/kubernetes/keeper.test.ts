import { expect, it } from "vitest";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { identity } from "../../../test/fixtures/identity.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import type { StoredObject } from "./api-object.ts";
import { Keeper } from "./keeper.ts";
import { Ledger } from "./ledger.ts";
import { Objects } from "./objects.ts";
import { sightingOf } from "./sighting.ts";

const manager = "attache.dev/attache";
const storefront = identity();
const owner = { namespace: "emissary", name: "storefront", uid: storefront.metadata.uid ?? "" };
const claimant = { owner, adopt: false };
const [, , context] = targetOf(storefront, "1");

it("an object that a watch shows between the claim and the plan is looked at, and left to whoever has it", async () => {
  const { admin, api } = fakeCluster();
  const ledger = new Ledger({ installation: "attache", onDrift: () => undefined });
  const objects = new Objects({ api: api(), manager });
  const keeper = new Keeper({ objects, ledger, installation: "attache", manager });
  ledger.claim({ kind: "TLSContext", namespace: "emissary", name: "storefront" }, owner);
  const [, , theirs] = targetOf(identity("billing", { target: { tlsContext: { name: "storefront" } } }), "1");
  const path = pathOf(resources.tlsContexts, { namespace: "emissary" });
  ledger.see(sightingOf("TLSContext", await admin.create<StoredObject>(path, theirs), manager));
  await expect(keeper.plan(context, claimant)).rejects.toThrow("ATTACHE_STORE_TARGET_TAKEN");
  expect(await admin.get<StoredObject>(`${path}/storefront`)).toMatchObject({
    metadata: { annotations: { "attache.dev/name": "billing" } },
  });
});
