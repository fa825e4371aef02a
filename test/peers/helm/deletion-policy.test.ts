import { expect, it, onTestFinished, vi } from "vitest";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { cluster } from "../kubernetes/cluster.ts";
import { rest } from "../kubernetes/rest.ts";
import { applyChart, render } from "./chart.ts";

it("keeps a published object that is in use from being deleted by others than attaché", async () => {
  const { admin, serviceAccount, namespace: create } = await cluster();
  const namespace = await create();
  const rules = [{ apiGroups: [""], resources: ["secrets"], verbs: ["delete", "create"] }];
  const attache = rest((await serviceAccount(namespace, "attache", rules)).access);
  const tenant = rest((await serviceAccount(namespace, "tenant", rules)).access);
  for (const one of [attache, tenant]) onTestFinished(() => one[Symbol.asyncDispose]());
  const values = {
    fullnameOverride: "attache",
    installation: namespace,
    deletionPolicy: { enabled: true },
    serviceAccount: { create: false, name: "attache" },
  };
  const objects = await render("attache", namespace, values);
  const policies = objects.filter(
    ({ kind, metadata }) => String(kind).startsWith("Validating") && metadata.name.endsWith("-deletion"),
  );
  expect(policies).toHaveLength(2);
  onTestFinished(await applyChart(admin, policies));

  const path = pathOf(resources.meshCertificates, { namespace, name: "edge" });
  const { metadata } = await admin.create(pathOf(resources.meshCertificates, { namespace }), {
    apiVersion: "attache.dev/v1alpha1",
    kind: "MeshCertificate",
    metadata: { name: "edge" },
    spec: { consul: { service: "edge" } },
  });
  const use = (usedBy: readonly object[]) =>
    admin.patch(`${path}/status`, { status: { conditions: [], usedBy } });
  const publish = (name: string, owner: string) =>
    admin.create(pathOf(resources.secrets, { namespace }), {
      metadata: {
        name,
        labels: { "attache.dev/installation": namespace },
        annotations: { "attache.dev/identity": owner, "attache.dev/name": name },
      },
    });
  const remove = (by: typeof admin, name: string) =>
    by.call("DELETE", pathOf(resources.secrets, { namespace, name }));

  await use([{ kind: "Mapping", namespace: "shop", name: "web" }]);
  // The policy takes a moment to be in force.
  await vi.waitFor(async () => {
    const name = `probe-${Math.random().toString(36).slice(2)}`;
    await publish(name, metadata.uid);
    const { status, body } = await remove(tenant, name);
    expect([status, JSON.stringify(body)]).toEqual([
      403,
      expect.stringContaining("is in use by Mapping shop/web"),
    ]);
  }, 30_000);
  await publish("other", "another-uid");
  expect((await remove(tenant, "other")).status).toBe(200);
  await publish("own", metadata.uid);
  expect((await remove(attache, "own")).status).toBe(200);
  await publish("unused", metadata.uid);
  await use([]);
  await vi.waitFor(async () => expect((await remove(tenant, "unused")).status).toBe(200), 30_000);
});
