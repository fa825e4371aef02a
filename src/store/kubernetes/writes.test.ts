import { expect, it } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { runStore } from "../../../test/peers/kubernetes/store-run.ts";
import { describeWrites } from "../../../test/peers/kubernetes/store-writes.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import type { SecretManifest } from "../../render/manifest.ts";

describeWrites(() => Promise.resolve(fakeCluster()));

it("what changes while all Secrets are listed is read again", async () => {
  await using run = await runStore(fakeCluster());
  const { namespace, peer } = run;
  const identity = await run.put("storefront");
  await run.store.apply(identity, targetOf(identity, "1"));
  const [, edited] = targetOf(identity, "2");
  peer.afterwards = async () => {
    peer.afterwards = () => undefined;
    const path = pathOf(resources.secrets, { namespace, name: edited.metadata.name });
    await run.cluster.admin.patch(path, { data: (edited as SecretManifest).data });
    await new Promise(setImmediate);
  };
  await run.restart();
  const event = await run.events.next("identity");
  expect(event.manifests).toBeUndefined();
  const found = await run.store.read(event.identity);
  expect(found).toContainEqual(expect.objectContaining({ data: (edited as SecretManifest).data }));
});
