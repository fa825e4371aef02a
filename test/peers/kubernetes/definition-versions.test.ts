import { afterAll, beforeAll, expect, it } from "vitest";
import { crd } from "../../../src/api/crd.ts";
import { upgradeDefinition } from "../../../src/doctor/preflight.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { type OwnCluster, startCluster } from "./cluster.ts";
import { Stage } from "./stage.ts";
import { runStore } from "./store-run.ts";

let own: OwnCluster;
beforeAll(async () => {
  own = await startCluster();
});
afterAll(() => own[Symbol.asyncDispose]());

type Fields = Record<string, { properties: Fields; items?: { properties: Fields }; type?: string }>;

interface Definition {
  readonly metadata: { readonly name: string; resourceVersion?: string };
  readonly spec: {
    readonly versions: readonly [{ readonly schema: { openAPIV3Schema: { properties: Fields } } }];
  };
}

/** Has the cluster serve another version of the CRD. */
async function serve(change: (spec: Fields, status: Fields) => void): Promise<void> {
  const definition = structuredClone(crd()) as Definition;
  const { spec, status } = definition.spec.versions[0].schema.openAPIV3Schema.properties;
  change(spec?.properties ?? {}, status?.properties ?? {});
  const path = pathOf(resources.customResourceDefinitions, { name: definition.metadata.name });
  const { metadata } = await own.admin.get(path);
  definition.metadata.resourceVersion = metadata.resourceVersion;
  expect(await own.admin.call("PUT", path, definition)).toMatchObject({ status: 200 });
}

async function use(stage: Stage, context: string): Promise<void> {
  await own.admin.create(pathOf(resources.mappings, { namespace: stage.namespace }), {
    apiVersion: "getambassador.io/v3alpha1",
    kind: "Mapping",
    metadata: { name: "web" },
    spec: { prefix: "/", service: "https://web", tls: context },
  });
}

it("a CRD that is older than attaché costs the fields that it does not know, and no write after the first", async () => {
  await serve((_, status) => {
    delete status["usedByCount"];
    delete status["roots"];
  });
  await using stage = await Stage.open(own);
  const [name = "", other = ""] = stage.names;
  await use(stage, name);
  await stage.start();
  await stage.untilReady();
  await stage.until("Protected", "True/Protected", name);
  const { metadata, status } = await stage.identity(name);
  expect(status).not.toHaveProperty("usedByCount");
  expect(status).toMatchObject({ usedBy: [{ kind: "Mapping", name: "web" }] });
  const { serialNumber } = (await stage.identity(other)).status ?? {};
  for (const value of ["once", "twice"]) {
    await stage.renew(other, value);
    await stage.until("SourceReady", "True/Received", other);
  }
  await expect.poll(async () => (await stage.identity(other)).status?.lastRenewRequest).toBe("twice");
  expect((await stage.identity(other)).status?.serialNumber).not.toBe(serialNumber);
  expect((await stage.identity(name)).metadata.resourceVersion).toBe(metadata.resourceVersion);
  await upgradeDefinition(own.api());
  await stage.renew(name, "after the upgrade");
  await expect.poll(async () => (await stage.identity(name)).status).toHaveProperty("usedByCount", 1);
});

it("a CRD that is older costs a restart no write, where it lacks a field and where it lacks a part of one", async () => {
  await serve((_, status) => {
    delete status["servedBy"];
    delete status["usedBy"]?.items?.properties["exposure"];
  });
  const path = "/openapi/v3/apis/attache.dev/v1alpha1";
  const published = async () => JSON.stringify(await own.admin.get(path));
  await expect.poll(published, { timeout: 30_000 }).not.toMatch(/"servedBy"|"exposure"/);
  await using run = await runStore(own);
  const identity = await run.put("storefront");
  const conditions = (["Ready", "SourceReady"] as const).map((type) => ({
    ...{ type, status: "True" as const, reason: "Valid", message: "So it is." },
    lastTransitionTime: "2026-01-01T00:00:00Z",
  }));
  const use = { kind: "Mapping", namespace: "shop", name: "web", exposure: "plaintext" } as const;
  const status = { conditions, servedBy: "attache/attache", usedBy: [use], usedByCount: 1 };
  await run.store.report(identity, status);
  const shown = { conditions, usedBy: [{ kind: "Mapping", namespace: "shop", name: "web" }], usedByCount: 1 };
  expect(
    (
      await run.cluster.admin.get<{ status: object }>(
        pathOf(resources.meshCertificates, {
          namespace: run.namespace,
          name: "storefront",
        }),
      )
    ).status,
  ).toEqual(shown);
  for (let restart = 0; restart < 2; restart += 1) {
    await run.restart();
    const { identity: again } = await run.events.next("identity");
    run.requests();
    await run.store.report(again, status);
    await run.store.report(again, status);
    expect(run.requests()).toEqual([`GET ${path}/`]);
  }
});

it("a CRD that is newer than attaché keeps nothing from it, and what is new stays as it is", async () => {
  await serve((spec, status) => {
    for (const fields of [spec, status]) fields["later"] = { type: "string" } as Fields[string];
  });
  await using stage = await Stage.open(own);
  const [name = ""] = stage.names;
  const { namespace } = stage;
  const later = `${namespace}-later`;
  await stage.create(later, { later: "on" });
  await stage.start();
  await stage.untilReady([...stage.names, later]);
  const path = pathOf(resources.meshCertificates, { namespace, name, subresource: "status" });
  await own.admin.patch(path, { status: { later: "from a newer version" } });
  await stage.renew(name, "once");
  await expect.poll(async () => (await stage.identity(name)).status?.lastRenewRequest).toBe("once");
  expect(await stage.identity(name)).toMatchObject({ status: { later: "from a newer version" } });
  expect(await stage.identity(later)).toMatchObject({ spec: { later: "on" } });
});
