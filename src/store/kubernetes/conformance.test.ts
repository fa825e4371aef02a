import { describe, it } from "vitest";
import { storeConformance } from "../../../test/conformance/store.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { startClusterPeer } from "../../../test/peers/kubernetes/store-peer.ts";

describe("the kubernetes store, on an API server in memory", () => {
  const start = () => startClusterPeer(fakeCluster());
  for (const { name, run, skip } of storeConformance({ start, fullCode: "ATTACHE_KUBERNETES_QUOTA" })) {
    it.skipIf(skip !== undefined)(name, run);
  }
});
