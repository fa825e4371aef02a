import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { parse } from "yaml";
import { startDevelopmentAgent } from "../../fixtures/consul-agent/agent.ts";
import type { Status } from "../../../src/api/mesh-certificate.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { type Permission, permissions } from "../../../src/kube/permissions.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import type { IdentityOwner } from "../../../src/mesh/adapter.ts";
import { definitions } from "../../../src/registry/registry.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { type Running, start } from "../../fixtures/cli.ts";
import { type Cluster, cluster } from "./cluster.ts";
import { anyMesh, applyChart, render } from "../helm/chart.ts";
import { kubeconfigOf } from "./kubeconfig.ts";
import type { Resource } from "./rest.ts";

const identity = { name: "storefront", spec: { consul: { service: "ambassador" } } };

/** Of which there is one in the cluster that all tests share. */
function identityOf(namespace: string) {
  return { ...identity, spec: { ...identity.spec, target: { tlsContext: { name: namespace } } } };
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

function rulesOf(objects: readonly Resource[], name: string, kind = "Role"): readonly Rule[] {
  const role = objects.find((object) => object["kind"] === kind && object.metadata.name === name);
  return role?.["rules"] as readonly Rule[];
}

/** The rules that the chart writes for an identity. */
async function allowed(wanted: object): Promise<readonly unknown[]> {
  const meshes = { ...anyMesh, istio: { enabled: true, mode: "sds" }, spiffe: { enabled: true } };
  const objects = await render("edge", "mesh", { meshes, identities: [wanted] });
  const { "attache.yaml": settings = "" } = objects.find(({ kind }) => kind === "ConfigMap")?.[
    "data"
  ] as Record<string, string>;
  return (parse(settings) as { readonly allow: readonly unknown[] }).allow;
}

describe("the chart", () => {
  it("grants exactly what attaché needs: in Roles, and in a ClusterRole what it watches in the whole cluster", async () => {
    const objects = await render("edge", "mesh", {
      identities: [{ ...identity, namespace: "emissary" }],
      emissary: [{}, { namespace: "ingress", ambassadorId: ["edge"] }, { namespace: "ingress" }],
    });
    const granted = (rules: readonly Rule[]) =>
      rules.flatMap(({ apiGroups, resources: all, verbs }) =>
        all.flatMap((resource) => verbs.map((verb) => `${verb} ${resource}.${apiGroups.join()}`)),
      );
    const needed = (where: Permission["where"]) =>
      permissions
        .filter((permission) => permission.where === where)
        .flatMap(({ group, resource, subresource, verbs }) =>
          verbs.map((verb) => `${verb} ${[resource, subresource].filter(Boolean).join("/")}.${group}`),
        );
    expect(granted(rulesOf(objects, "edge-attache")).toSorted()).toEqual(needed("acting").toSorted());
    expect(granted(rulesOf(objects, "edge-attache-own")).toSorted()).toEqual(needed("own").toSorted());
    expect(granted(rulesOf(objects, "mesh-edge-attache-emissary")).toSorted()).toEqual(
      needed("emissary").toSorted(),
    );
    const emissaries = objects.filter(
      ({ kind, metadata }) => kind === "Role" && metadata.name === "mesh-edge-attache-emissary",
    );
    expect(emissaries.map(({ metadata }) => metadata["namespace"])).toEqual(["mesh", "ingress"]);
    const acting = objects.filter(
      ({ kind, metadata }) => kind === "Role" && metadata.name === "edge-attache",
    );
    expect(acting.map(({ metadata }) => metadata["namespace"])).toEqual(["mesh", "emissary"]);
    const wide = granted(rulesOf(objects, "mesh-edge-attache", "ClusterRole"));
    expect(wide.toSorted()).toEqual([...needed("consumers"), ...needed("touches")].toSorted());
    const all = [...needed("acting"), ...needed("consumers")].toSorted();

    // Roles of others.
    const others = { rbac: { aggregate: false }, preflight: { enabled: false } };
    const narrow = await render("edge", "mesh", { consumers: { clusterWide: false }, ...others });
    expect(granted(rulesOf(narrow, "edge-attache")).toSorted()).toEqual(all);
    expect(narrow.some(({ kind }) => String(kind).startsWith("ClusterRole"))).toBe(false);

    const everywhere = await render("edge", "mesh", { namespaces: ["*"], ...others });
    expect(granted(rulesOf(everywhere, "mesh-edge-attache", "ClusterRole")).toSorted()).toEqual(all);
    expect(everywhere.filter(({ kind }) => String(kind).startsWith("ClusterRole"))).toHaveLength(2);
    expect(rulesOf(everywhere, "edge-attache")).toBeUndefined();
  });

  it("lets tokens be minted for the ServiceAccounts of its identities, and for no other", async () => {
    const spec = { consul: { service: "edge", serviceAccount: "edge" } };
    const objects = await render("edge", "mesh", {
      identities: [{ name: "edge", namespace: "emissary", spec }],
    });
    expect(rulesOf(objects, "edge-attache-tokens")).toEqual([
      { apiGroups: [""], resources: ["serviceaccounts/token"], resourceNames: ["edge"], verbs: ["create"] },
    ]);
  });

  it.each([
    ["consul", { service: "web" }],
    ["consul", { service: 'web app/Ü*100%"' }],
    ["consul", { service: "web", namespace: "shop", partition: "east", serviceAccount: "web" }],
    ["consul", { service: "web", partition: "default" }],
    ["istio", {}],
    ["istio", { serviceAccount: "web" }],
    ["spiffe", {}],
    ["spiffe", { id: "spiffe://example.org/web" }],
  ] as const)("allows an identity of %s, %j, what its adapter expects and no more", async (kind, wanted) => {
    const [rule, ...others] = await allowed({ name: "web", namespace: "shop", spec: { [kind]: wanted } });
    const { identity: schema, expected } = definitions[kind];
    const asked = (expected as (given: unknown, bearer: IdentityOwner) => string)(schema.parse(wanted), {
      namespace: "shop",
    });
    expect(rule).toEqual({ namespaces: ["shop"], mesh: kind, spiffeIds: [asked], tlsContexts: ["web"] });
    expect(others).toEqual([]);
  });

  it.each([
    ["where istiod writes them", {}, ["istio-ca-root-cert", "istio-ca-crl"]],
    ["where its mesh's settings say so", { roots: { configMap: "east" } }, ["east", "istio-ca-crl"]],
    ["of another name", { crlConfigMap: "east-crl" }, ["istio-ca-root-cert", "east-crl"]],
    ["nowhere where they are in a file", { roots: { file: "/roots.pem" } }, undefined],
    ["nowhere where the mesh is off", { enabled: false }, undefined],
  ])(
    "lets the roots and revocation lists of istiod be read in ConfigMaps %s",
    async (_, more, resourceNames) => {
      const east = { enabled: true, adapter: "istio", mode: "istiod", ...more };
      const objects = await render("edge", "mesh", { meshes: { ...anyMesh, east } });
      const rules = rulesOf(objects, "edge-attache-own");
      expect(rules.find(({ resources: [resource] }) => resource === "configmaps")).toEqual(
        resourceNames && {
          apiGroups: [""],
          resources: ["configmaps"],
          resourceNames,
          verbs: ["get", "list", "watch"],
        },
      );
    },
  );

  it.each([
    ["a mesh's unknown setting", { meshes: { consul: { enabled: true, adress: "x" } } }, "adress"],
    ["an unknown value", { replcas: 3 }, "replcas"],
    ["a rule that is incomplete", { allow: [{ namespaces: ["a"] }] }, "spiffeIds"],
  ])("refuses %s", async (_, values, named) => {
    await expect(render("edge", "mesh", values)).rejects.toThrow(named);
  });

  it.each([
    ["all Secrets of its namespaces", false],
    ["those of its identities by name", true],
  ])(
    "is taken by a real API server, and attaché runs with what it grants, %s, and nothing else",
    async (_, identitiesOnly) => {
      const world = await install({ rbac: { identitiesOnly } });
      await using attache = world.run();
      await world.untilReady(attache);
      const { admin, namespace } = world;
      const context = await admin.get(pathOf(resources.tlsContexts, { namespace, name: namespace }));
      expect(context["spec"]).toMatchObject({
        secret: "storefront-mesh-cert",
        ca_secret: "storefront-mesh-ca",
      });
      expect(attache.stderr).not.toContain("FORBIDDEN");

      // Also what names the context where attaché may do nothing else keeps it.
      const elsewhere = await (await cluster()).namespace();
      await admin.create(pathOf(resources.mappings, { namespace: elsewhere }), {
        apiVersion: "getambassador.io/v3alpha1",
        kind: "Mapping",
        metadata: { name: "shop" },
        spec: { prefix: "/", service: "web", tls: namespace },
      });
      const path = pathOf(resources.meshCertificates, { namespace, name: identity.name });
      await world.until(attache, ({ usedBy }) => usedBy?.[0]?.namespace === elsewhere);
      await admin.delete(path);
      await world.until(attache, ({ conditions }) => conditions.some(({ reason }) => reason === "InUse"));
      await admin.delete(pathOf(resources.mappings, { namespace: elsewhere, name: "shop" }));
      await vi.waitFor(async () => expect((await admin.call("GET", path)).status).toBe(404), 30_000);
      for (const name of ["storefront-mesh-cert", "storefront-mesh-ca"])
        expect((await admin.call("GET", pathOf(resources.secrets, { namespace, name }))).status).toBe(404);
      expect(attache.stderr).not.toContain("FORBIDDEN");
      attache.process.kill("SIGTERM");
      expect((await attache.finished).status).toBe(0);
    },
  );
});

describe("the chart's admission policy", () => {
  it("lets tls: name only contexts that are for the namespace", async () => {
    const { admin, namespace } = await install();
    const other = await (await cluster()).namespace();
    for (const name of [namespace, other]) {
      await admin.patch(`/api/v1/namespaces/${name}`, { metadata: { labels: { judged: namespace } } });
    }
    const create = async (where: string, name: string, spec: object) =>
      admin.call("POST", pathOf(resources.mappings, { namespace: where }), {
        apiVersion: "getambassador.io/v3alpha1",
        kind: "Mapping",
        metadata: { name },
        spec: { prefix: "/", service: "web", ...spec },
      });
    const refused = { tls: namespace };
    // The policy takes a moment to be in force.
    await vi.waitFor(async () => {
      const { status, body } = await create(other, `a${Math.random()}`, refused);
      expect(status).toBe(403);
      expect(JSON.stringify(body)).toContain("is not allowed in the namespace");
    }, 60_000);
    expect((await create(namespace, "own", refused)).status).toBe(201);
    expect((await create(other, "without", {})).status).toBe(201);
    expect((await create(other, "unknown", { tls: "unknown" })).status).toBe(403);
  });
});

/** The chart with a mesh, applied as Helm would, and a token of its ServiceAccount. */
async function install(more: object = {}) {
  const shared: Cluster = await cluster();
  const { admin, access } = shared;
  const namespace = await shared.namespace();
  const trustDomain = "11111111-2222-3333-4444-555555555555.consul";
  const authority = await createAuthority({ trustDomain, clock: systemClock });
  const agent = await startDevelopmentAgent({ authority, clock: systemClock });
  onTestFinished(() => agent[Symbol.asyncDispose]());
  const objects = await render(namespace, namespace, {
    meshes: { consul: { enabled: true, ...agent.settings } },
    identities: [identityOf(namespace)],
    admissionPolicy: { enabled: true, namespaceSelector: { matchLabels: { judged: namespace } } },
    settings: { limits: { deletionGrace: "0s" } },
    ...more,
  });
  onTestFinished(await applyChart(admin, objects));

  const folder = await mkdtemp(join(tmpdir(), "attache-chart-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const account = objects.find(({ kind }) => kind === "ServiceAccount")?.metadata.name ?? "";
  const { status } = await admin.create<{ status: { token: string } }>(
    `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
    { spec: {} },
  );
  const kubeconfig = join(folder, "kubeconfig");
  await writeFile(kubeconfig, kubeconfigOf({ ...access, token: status.token }, namespace));
  const settings = objects.find(({ kind }) => kind === "ConfigMap")?.["data"] as Record<string, string>;
  const config = join(folder, "attache.yaml");
  await writeFile(config, settings["attache.yaml"] ?? "");

  const until = (attache: Running, holds: (reported: Status) => boolean) =>
    vi.waitFor(async () => {
      const path = pathOf(resources.meshCertificates, { namespace, name: identity.name });
      const { status: reported } = await admin.get<{ readonly status?: Status }>(path);
      if (reported === undefined || !holds(reported))
        throw new Error(`not yet: ${JSON.stringify(reported)} ${attache.stderr}`);
    }, 30_000);

  return {
    admin,
    namespace,
    objects,
    run: (): Running =>
      start(
        [
          "run",
          "--config",
          config,
          "--set",
          "server.listen=127.0.0.1:0",
          "--set",
          "server.probes=127.0.0.1:0",
        ],
        { KUBECONFIG: kubeconfig },
      ),
    until,
    untilReady: (attache: Running) =>
      until(attache, ({ conditions }) =>
        conditions.some(({ type, status }) => type === "Ready" && status === "True"),
      ),
  };
}
