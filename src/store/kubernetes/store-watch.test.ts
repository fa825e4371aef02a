import { expect, it, onTestFinished } from "vitest";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { startClusterPeer } from "../../../test/peers/kubernetes/store-peer.ts";
import { mapping, scriptedUses } from "../../../test/peers/kubernetes/store-run.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import type { StoreEvent } from "../store.ts";

it("reports an orphan whose mark is no name of a MeshCertificate in few words", async () => {
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
        [ownershipAnnotations.installation]: "attache",
        [ownershipAnnotations.identity]: "u",
        [ownershipAnnotations.name]: `web\nall is well ${"x".repeat(200_000)}`,
      },
    },
    spec: {},
  });
  const store = await peer.open({ uses });
  for await (const event of store.watch(new AbortController().signal)) {
    if (event.type !== "invalid") continue;
    expect(event.error.code).toBe("ATTACHE_STORE_ORPHANED");
    expect(event.error.problem).toBe(
      `the MeshCertificate ${peer.namespace}/ is gone, and what was published for it is still used: it is kept`,
    );
    break;
  }
  await store[Symbol.asyncDispose]();
});

it("reports an identity before its consumers, however slowly it is asked", async () => {
  const peer = await startClusterPeer(fakeCluster());
  const uses = scriptedUses();
  const store = await peer.open({ uses });
  onTestFinished(() => store[Symbol.asyncDispose]());
  const over = new AbortController();
  const [slow, quick] = [1, 2].map(() => store.watch(over.signal)[Symbol.asyncIterator]());
  const next = async (events = slow) => ((await events?.next())?.value as StoreEvent | undefined)?.type;
  expect([await next(), await next(quick)]).toEqual(["synced", "synced"]);
  await peer.put(`${peer.namespace}/web`, { consul: { service: "web" } });
  expect(await next(quick)).toBe("identity");
  uses.set("web", [mapping]);
  expect([await next(), await next()]).toEqual(["identity", "uses"]);
});
