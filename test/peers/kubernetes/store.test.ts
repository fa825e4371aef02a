import { describe, it } from "vitest";
import { storeConformance } from "../../conformance/store.ts";
import { cluster } from "./cluster.ts";
import { startClusterPeer } from "./store-peer.ts";

describe("the kubernetes store", () => {
  const start = async () => startClusterPeer(await cluster());
  for (const { name, run, skip } of storeConformance({ start, fullCode: "ATTACHE_KUBERNETES_QUOTA" })) {
    it.skipIf(skip !== undefined)(name, run);
  }
});
