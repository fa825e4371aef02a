import { expect, it } from "vitest";
import { targetOf } from "../../test/conformance/store-target.ts";
import { fakeCluster } from "../../test/fixtures/fake-cluster.ts";
import { identity } from "../../test/fixtures/identity.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { Applier } from "./applier.ts";
import type { StoredObject } from "./kubernetes/api-object.ts";
import { KubernetesBackend } from "./kubernetes/backend.ts";
import { observe } from "./kubernetes/observe.ts";
import { manualClock } from "../../test/fixtures/clock.ts";
import { OwnedObjects } from "./owned-objects.ts";

const manager = "attache.dev/attache";
const storefront = identity();
const owner = { namespace: "emissary", name: "storefront", uid: storefront.metadata.uid ?? "" };
const [, , context] = targetOf(storefront, "1");

it("an object that a watch shows between the claim and the plan is read, and left to its owner", async () => {
  const { admin, api } = fakeCluster();
  const owned = new OwnedObjects({ installation: "attache", onDrift: () => undefined });
  const backend = new KubernetesBackend({
    api: api(),
    installation: "attache",
    namespaces: [],
    manager,
    clock: manualClock(),
  });
  const applier = new Applier({ backend, owned, installation: "attache" });
  owned.reserve({ kind: "TLSContext", namespace: "emissary", name: "storefront" }, owner);
  const [, , theirs] = targetOf(identity("billing", { target: { tlsContext: { name: "storefront" } } }), "1");
  const path = pathOf(resources.tlsContexts, { namespace: "emissary" });
  owned.see(observe("TLSContext", await admin.create<StoredObject>(path, theirs), manager));
  await expect(applier.plan(context, owner, false)).rejects.toThrow("ATTACHE_STORE_TARGET_TAKEN");
  expect(await admin.get<StoredObject>(`${path}/storefront`)).toMatchObject({
    metadata: { annotations: { "attache.dev/name": "billing" } },
  });
});
