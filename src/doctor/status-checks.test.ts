import { expect, it } from "vitest";
import { fakeCluster } from "../../test/fixtures/fake-cluster.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { statusChecks } from "./status-checks.ts";

const now = new Date(0).toISOString();

async function checksOf(conditions: readonly (readonly [type: string, status: string, reason: string])[]) {
  const cluster = fakeCluster();
  const namespace = await cluster.namespace();
  const path = pathOf(resources.meshCertificates, { namespace });
  await cluster.admin.create(path, {
    apiVersion: "attache.dev/v1alpha1",
    kind: "MeshCertificate",
    metadata: { name: "web" },
    spec: { consul: { service: "web" } },
  });
  const reported = conditions.map(([type, status, reason]) => ({
    ...{ type, status, reason },
    message: `The message of ${reason}: edge/web, tenant/web.`,
    lastTransitionTime: now,
  }));
  await cluster.api().request({
    method: "PATCH",
    path: `${path}/web/status`,
    contentType: "merge",
    body: { status: { conditions: reported } },
  });
  return { namespace, checks: await statusChecks(cluster.api(), [namespace]) };
}

it("The doctor says that the ingress is frozen, and who reports it", async () => {
  const { namespace, checks } = await checksOf([["Served", "False", "Frozen"]]);
  expect(checks).toMatchObject([
    {
      name: "configuration of the ingress",
      status: "failed",
      message: `FROZEN, as the MeshCertificate ${namespace}/web reports: The message of Frozen: edge/web, tenant/web.`,
      remedy: expect.stringContaining("Fix the TLSContexts and Hosts") as string,
    },
  ]);
});

it("The doctor says that it is not, or that it is not known", async () => {
  expect((await checksOf([["Served", "True", "Served"]])).checks).toMatchObject([
    { status: "ok", message: expect.stringContaining("not frozen at the last rotation") as string },
  ]);
  for (const reason of ["NotConfigured", "Unreachable"])
    expect((await checksOf([["Served", "Unknown", reason]])).checks).toMatchObject([
      { status: "warning", message: expect.stringContaining("not known") as string },
    ]);
});

it("The doctor warns of an ingress that may be frozen", async () => {
  expect((await checksOf([["Served", "Unknown", "Stalled"]])).checks).toMatchObject([
    {
      status: "warning",
      message: expect.stringContaining("may be frozen: The message of Stalled") as string,
    },
  ]);
});

it.each(["ContextNameTaken", "SecretNameTaken", "SecretNamedFromOutside"])(
  "The doctor repeats %s, with both places",
  async (reason) => {
    const { namespace, checks } = await checksOf([["Protected", "False", reason]]);
    expect(checks.slice(1)).toMatchObject([
      {
        name: `names of MeshCertificate ${namespace}/web`,
        status: "failed",
        message: `The message of ${reason}: edge/web, tenant/web.`,
      },
    ]);
  },
);

it("The doctor repeats no other exposure", async () => {
  expect((await checksOf([["Protected", "False", "Plaintext"]])).checks).toHaveLength(1);
});
