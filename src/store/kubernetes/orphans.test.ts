import { describe, expect, it, onTestFinished, vi } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import { createLogger } from "../../telemetry/logger.ts";
import { finalizerOf } from "./identity.ts";
import { Orphans } from "./orphans.ts";

const ready = {
  type: "Ready",
  status: "True",
  reason: "Valid",
  message: "",
  lastTransitionTime: "2026-01-01T00:00:00Z",
};
const published = { ...ready, type: "Published" };

interface Given {
  readonly namespace?: string;
  readonly spec?: object;
  readonly finalizers?: readonly string[];
  /** The namespace of the installation that reported it. */
  readonly home?: string;
}

async function watched(
  { namespace = "gone", spec = { consul: { service: "edge" } }, ...more }: Given,
  leads = true,
) {
  const { finalizers = [finalizerOf("attache")], home = "mesh" } = more;
  const cluster = fakeCluster();
  const clock = manualClock();
  const path = pathOf(resources.meshCertificates, { namespace, name: "edge" });
  await cluster.admin.create(pathOf(resources.meshCertificates, { namespace }), {
    apiVersion: "attache.dev/v1alpha1",
    kind: "MeshCertificate",
    metadata: { name: "edge", namespace, finalizers },
    spec,
  });
  await cluster.admin.patch(`${path}/status`, {
    status: { servedBy: `${home}/attache`, conditions: [ready, published] },
  });
  const leader = { isLeading: leads };
  const orphans = new Orphans({
    api: cluster.api(),
    actsIn: (one) => one === "acting",
    own: { installation: "attache", meshes: new Set(["consul"]) },
    home: "mesh",
    mayWrite: () => leader.isLeading,
    clock,
    logger: createLogger("silent"),
  });
  onTestFinished(() => orphans[Symbol.asyncDispose]());
  const conditions = async () => {
    await clock.advance(5_000);
    const { status } = await cluster.admin.get<{ status: { conditions: (typeof ready)[] } }>(path);
    return status.conditions;
  };
  return { clock, conditions, leader };
}

describe("an identity that this installation published", () => {
  it.each<[string, Given, string]>([
    ["in a namespace that it left", {}, "no longer acts in the namespace gone"],
    [
      "of a mesh that it has no more",
      { namespace: "acting", spec: { istio: {} } },
      'no longer has the mesh "istio"',
    ],
  ])("%s is not ready, and keeps its other conditions", async (_, given, message) => {
    const { conditions } = await watched(given);
    await vi.waitFor(async () => {
      expect(await conditions()).toEqual([
        expect.objectContaining({ type: "Ready", status: "False", reason: "Orphaned" }),
        published,
      ]);
    });
    const [reported] = await conditions();
    expect(reported?.message).toContain(message);
  });

  it("is reported once the replica leads", async () => {
    const { conditions, leader } = await watched({}, false);
    for (let times = 0; times < 3; times++) expect(await conditions()).toContainEqual(ready);
    leader.isLeading = true;
    await vi.waitFor(async () => expect(await conditions()).not.toContainEqual(ready));
  });
});

describe("an identity is none of its orphans", () => {
  it.each<[string, Given]>([
    ["where it acts", { namespace: "acting" }],
    [
      "that another installation published too",
      { finalizers: [finalizerOf("attache"), finalizerOf("other")] },
    ],
    ["of an installation of the same name in another namespace", { home: "other" }],
    ["that it never published", { finalizers: [] }],
    ["that was handed over", { spec: { installation: "other", consul: { service: "edge" } } }],
  ])("%s", async (_, given) => {
    const { conditions } = await watched(given);
    for (let times = 0; times < 3; times++) expect(await conditions()).toEqual([ready, published]);
  });
});
