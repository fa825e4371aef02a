import { describe, expect, it, vi } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { runStore, type StoreRun } from "../../../test/peers/kubernetes/store-run.ts";
import type { Condition, Status } from "../../api/mesh-certificate.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import type { KubernetesStoreOptions } from "./kubernetes-store.ts";

/** As a newer schema would have it. */
const later = { consul: { service: "web" }, target: "later" };

async function refused(spec: object, options: Partial<KubernetesStoreOptions> = {}) {
  const run = await runStore(fakeCluster(), options);
  await run.peer.put(`${run.namespace}/web`, { ...spec });
  await run.events.next("invalid");
  return run;
}

const published = async ({ cluster: { admin }, namespace }: StoreRun) => {
  const path = pathOf(resources.meshCertificates, { namespace, name: "web" });
  const { status } = await admin.get<{ readonly status?: Status }>(path);
  return status?.conditions.find(({ type }) => type === "Published");
};

describe("an identity that this version cannot read", () => {
  it.each([
    ["the mesh of its source", later],
    ["the mesh that it names", { ...later, mesh: "consul", consul: undefined, linkerd: {} }],
    ["its installation", { ...later, mesh: "another", installation: "attache" }],
  ])("gets a status and an Event where attaché has %s", async (_, spec) => {
    await using run = await refused(spec);
    await vi.waitFor(async () =>
      expect(await published(run)).toMatchObject({ status: "False", reason: "Invalid" }),
    );
    // The Event comes after the status.
    await run.stop();
    expect(run.requests().toSorted()).toEqual([
      expect.stringMatching(/^PATCH meshcertificates\/status/),
      expect.stringMatching(/^POST events\/web\./),
    ]);
  });

  it.each([
    ["another installation's", { ...later, installation: "blue" }],
    ["of a mesh that is not configured here", { ...later, mesh: "consul-dc2" }],
    ["of a kind of source that is not known here", { ...later, consul: undefined, linkerd: {} }],
  ])("is left alone where it is %s", async (_, spec) => {
    await using run = await refused(spec);
    await run.stop();
    expect(run.requests()).toEqual([]);
  });

  it("stays reported while an attaché publishes the former spec, and no longer once it can be read", async () => {
    await using run = await runStore(fakeCluster());
    const identity = await run.put("web");
    const condition = (type: "Published" | "SourceReady", status: "True" | "False"): Condition => {
      return { type, status, reason: "Tested", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" };
    };
    const good = { conditions: [condition("SourceReady", "True"), condition("Published", "True")] };
    await run.store.report(identity, good);
    await run.peer.put(`${run.namespace}/web`, later);
    await run.events.next("invalid");
    await vi.waitFor(async () => expect(await published(run)).toMatchObject({ reason: "Invalid" }));
    const before = await published(run);
    run.requests();
    await run.store.report(identity, good);
    expect(run.requests()).toEqual([]);
    await run.store.report(identity, { conditions: [condition("SourceReady", "False")] });
    expect(await published(run)).toEqual(before);
    const again = await run.put("web", { target: {} });
    await run.store.report(again, good);
    expect(await published(run)).toMatchObject({ status: "True" });
  });

  it("is reported later where the API server does not take it", async () => {
    const clock = manualClock();
    await using run = await runStore(fakeCluster(), { clock });
    let refusals = 0;
    run.peer.intercept = ({ path }) => {
      if (path.endsWith("/status") && (refusals += 1) === 1) throw new Error("the test says no");
    };
    await run.peer.put(`${run.namespace}/web`, later);
    await run.events.next("invalid");
    await vi.waitFor(() => expect(refusals).toBe(1));
    await vi.waitFor(async () => {
      await clock.advance(30_000);
      expect(await published(run)).toMatchObject({ reason: "Invalid" });
    });
  });

  it("is left to the leader", async () => {
    await using run = await refused(later, { mayWrite: () => false });
    await run.stop();
    expect(run.requests()).toEqual([]);
  });
});
