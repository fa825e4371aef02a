import { afterEach, beforeEach, expect, it, type MockInstance, vi } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { runStore, type StoreRun } from "../../../test/peers/kubernetes/store-run.ts";
import { type MeshCertificate, meshCertificate } from "../../api/mesh-certificate.ts";
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

it("a restart writes no status where an older CRD lacks a field of it, and a second one neither", async () => {
  await using run = await runStore(fakeCluster({ lacking: ["servedBy", "usedByCount"] }));
  const reported = { conditions: [...conditions], servedBy: "attache/attache", usedByCount: 3 };
  const names = Array.from({ length: 20 }, (_, index) => `svc-${index}`);
  const identities: MeshCertificate[] = [];
  for (const name of names) identities.push(await run.put(name));
  const reportAll = () => Promise.all(identities.map((one) => run.store.report(one, reported)));
  await reportAll();
  for (let restart = 0; restart < 2; restart += 1) {
    await run.restart();
    for (const _ of names) await run.events.next("identity");
    run.requests();
    await reportAll();
    await reportAll();
    expect(run.requests()).toEqual(["GET /openapi/v3/apis/attache.dev/v1alpha1/"]);
  }
  const [one] = identities;
  if (one === undefined) throw new Error("there are twenty");
  await run.store.report(one, { ...reported, serialNumber: "0a" });
  expect(run.requests()).toEqual(["PATCH meshcertificates/status/svc-0"]);
});

it("a restart writes each status once that lacks a field which the CRD has, and then none", async () => {
  await using run = await runStore(fakeCluster());
  const identity = await run.put("storefront");
  await run.store.report(identity, { conditions: [...conditions] });
  await run.restart();
  await run.events.next("identity");
  const reported = { conditions: [...conditions], servedBy: "attache/attache" };
  await run.store.report(identity, reported);
  run.requests();
  await run.store.report(identity, reported);
  expect(run.requests()).toEqual([]);
  const path = pathOf(resources.meshCertificates, { namespace: run.namespace, name: "storefront" });
  expect(await run.cluster.admin.get(path)).toMatchObject({ status: reported });
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
