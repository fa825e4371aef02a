import { afterEach, beforeEach, expect, it, type MockInstance, vi } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { runStore, type StoreRun } from "../../../test/peers/kubernetes/store-run.ts";
import { meshCertificate } from "../../api/mesh-certificate.ts";
import { status } from "../../api/status.ts";
import { pathOf, resources } from "../../kube/resources.ts";

/** How often schemas read a MeshCertificate and a status. */
let specs: MockInstance;
let statuses: MockInstance;

beforeEach(() => {
  specs = vi.spyOn(meshCertificate, "safeParse");
  statuses = vi.spyOn(status, "safeParse");
});
afterEach(() => vi.restoreAllMocks());

/** Waits for the echoes of all that was written. */
async function settled({ peer, events }: StoreRun): Promise<void> {
  await peer.put(`${peer.namespace}/last`, { consul: { service: "last" } });
  await events.next("identity");
}

const conditions = [
  {
    type: "Ready",
    status: "True",
    reason: "Valid",
    message: "So it is.",
    lastTransitionTime: "2026-01-01T00:00:00Z",
  },
] as const;

it("a MeshCertificate is read once in each generation, whatever is written of it, and its status never", async () => {
  await using run = await runStore(fakeCluster());
  const identity = await run.put("storefront");
  await run.store.apply(identity, targetOf(identity, "1"));
  await run.store.report(identity, { conditions: [...conditions] });
  await settled(run);
  expect(specs).toHaveBeenCalledTimes(2);
  expect(statuses).not.toHaveBeenCalled();
  specs.mockClear();
  expect(await run.put("storefront", { mesh: "consul" })).toMatchObject({ spec: { mesh: "consul" } });
  expect(specs).toHaveBeenCalledTimes(1);
});

it("a change of labels, and a status of another client, are noticed although the spec is not read again", async () => {
  await using run = await runStore(fakeCluster());
  const identity = await run.put("storefront");
  await run.store.report(identity, { conditions: [...conditions] });
  const path = pathOf(resources.meshCertificates, { namespace: run.namespace, name: "storefront" });
  await run.cluster.admin.patch(path, { metadata: { labels: { team: "a" } } });
  const { identity: labelled } = await run.events.next("identity");
  expect(labelled).toMatchObject({ metadata: { labels: { team: "a" } }, spec: identity.spec });
  await run.cluster.admin.patch(`${path}/status`, { status: { mesh: "other" } });
  await settled(run);
  run.requests();
  await run.store.report(labelled, { conditions: [...conditions] });
  expect(run.requests()).toContain("PATCH meshcertificates/status/storefront");
});

it("a standby replica reads no Secret, so that the lists of a start are read once", async () => {
  await using run = await runStore(fakeCluster());
  const identity = await run.put("storefront");
  await run.store.apply(identity, targetOf(identity, "1"));
  await run.stop();
  const watched = async (isStandby: boolean) => {
    run.requests();
    await using store = await run.peer.open();
    for await (const { type } of store.watch(new AbortController().signal, isStandby))
      if (type === "synced") break;
    return run.requests();
  };
  expect(await watched(true)).toEqual([]);
  expect(await watched(false)).toEqual(["GET secrets/"]);
});
