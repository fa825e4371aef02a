import { expect, it } from "vitest";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { mapping, scriptedUses } from "../../../test/peers/kubernetes/store-run.ts";
import { startClusterPeer } from "../../../test/peers/kubernetes/store-peer.ts";
import { pathOf, resources } from "../../kubernetes/resources.ts";
import { marks } from "../../render/marks.ts";

it("an orphan whose mark is no name of a MeshIdentity is told of in few words", async () => {
  const cluster = fakeCluster();
  const peer = await startClusterPeer(cluster);
  const uses = scriptedUses();
  uses.set("forged", [mapping]);
  await cluster.admin.create(pathOf(resources.tlsContexts, { namespace: peer.namespace }), {
    apiVersion: "getambassador.io/v3alpha1",
    kind: "TLSContext",
    metadata: {
      name: "forged",
      annotations: {
        [marks.installation]: "attache",
        [marks.identity]: "u",
        [marks.name]: `web\nall is well ${"x".repeat(200_000)}`,
      },
    },
    spec: {},
  });
  const store = await peer.open({ uses });
  for await (const event of store.watch(new AbortController().signal)) {
    if (event.type !== "invalid") continue;
    expect(event.error.code).toBe("ATTACHE_STORE_ORPHANED");
    expect(event.error.problem).toBe(
      `the MeshIdentity ${peer.namespace}/ is gone, and what was published for it is still used: it is kept`,
    );
    break;
  }
  await store[Symbol.asyncDispose]();
});
