import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { type Cluster, cluster, type Rule } from "./cluster.ts";
import { applyChart, render } from "../helm/chart.ts";
import { type Answer, type Rest, rest } from "./rest.ts";

const emissary = { apiVersion: "getambassador.io/v3alpha1" };
const undo: (() => PromiseLike<unknown>)[] = [];
afterAll(async () => {
  for (const step of undo.reverse()) await step();
});

let shared: Cluster;
/** With attaché and an identity whose TLSContext and Secrets have its name. */
let home: string;
/** Of a tenant who may do everything with Emissary's resources, Services and Ingresses there. */
let shop: string;
let tenant: Rest;
let attache: Rest;

beforeAll(async () => {
  shared = await cluster();
  home = await shared.namespace();
  shop = await shared.namespace();
  const { admin } = shared;
  for (const name of [home, shop])
    await admin.patch(`/api/v1/namespaces/${name}`, { metadata: { labels: { judged: home } } });
  const objects = await render("edge", home, {
    identities: [
      { name: home, spec: { consul: { service: "a" } } },
      { name: "adopter", spec: { consul: { service: "b" }, target: { secret: "greeted", adopt: true } } },
    ],
    emissary: [{}],
    rbac: { identitiesOnly: false, adopted: { [home]: ["taken-over"] } },
    admissionPolicy: {
      enabled: true,
      contexts: { [`${home}-shops`]: [shop], [home]: ["elsewhere"] },
      namespaceSelector: { matchLabels: { judged: home } },
    },
  });
  undo.push(await applyChart(admin, objects));
  const everything: Rule[] = [
    { apiGroups: ["getambassador.io", "networking.k8s.io", ""], resources: ["*"], verbs: ["*"] },
  ];
  const account = await shared.serviceAccount(shop, "tenant", everything);
  tenant = rest(account.access);
  const path = `/api/v1/namespaces/${home}/serviceaccounts/edge-attache/token`;
  const { status } = await admin.create<{ status: { token: string } }>(path, { spec: {} });
  attache = rest({ ...shared.access, token: status.token });
  undo.push(
    () => attache[Symbol.asyncDispose](),
    () => tenant[Symbol.asyncDispose](),
  );
  // The policies take a moment to be in force.
  await vi.waitFor(async () => {
    expect((await byTenant("mappings", "probe", { tls: home }, "?dryRun=All")).status).toBe(403);
    expect((await byAttache("POST", "secrets", { metadata: { name: "x" } }, "?dryRun=All")).status).toBe(403);
  }, 30_000);
});

const kinds = {
  mappings: "Mapping",
  tcpmappings: "TCPMapping",
  authservices: "AuthService",
  ratelimitservices: "RateLimitService",
  hosts: "Host",
  tlscontexts: "TLSContext",
  modules: "Module",
};

function byTenant(plural: keyof typeof kinds, name: string, spec: object, query = ""): Promise<Answer> {
  return tenant.call("POST", `/apis/getambassador.io/v3alpha1/namespaces/${shop}/${plural}${query}`, {
    ...emissary,
    kind: kinds[plural],
    metadata: { name },
    spec,
  });
}

/** In attaché's own namespace; `what` is a path below it. */
function byAttache(method: string, what: string, body?: object, query = ""): Promise<Answer> {
  return attache.call(method, `/api/v1/namespaces/${home}/${what}${query}`, body, typeOf(method));
}

function typeOf(method: string): string {
  return method === "PATCH" ? "application/merge-patch+json" : "application/json";
}

function isRefused({ status, body }: Answer, because: string): void {
  expect({ status, body }).toMatchObject({
    status: 403,
    body: { message: expect.stringContaining(because) as string },
  });
}

describe("the tenants' admission policy", () => {
  const spec = { prefix: "/", service: "web" };

  it.each<[string, keyof typeof kinds, () => object]>([
    ["Mapping", "mappings", () => ({ ...spec, tls: home })],
    ["TCPMapping", "tcpmappings", () => ({ port: 1, service: "web", tls: home })],
    ["AuthService", "authservices", () => ({ auth_service: "web", tls: home })],
    ["RateLimitService", "ratelimitservices", () => ({ service: "web", tls: home })],
    ["Host", "hosts", () => ({ hostname: "x", tlsContext: { name: home } })],
    ["Mapping of an unknown context", "mappings", () => ({ ...spec, tls: "unknown" })],
  ])("refuses a %s that names a foreign TLSContext", async (_what, plural, named) => {
    isRefused(await byTenant(plural, "foreign", named()), "is not allowed in the namespace");
  });

  it("refuses a change to a foreign TLSContext, by patch and by apply", async () => {
    expect((await byTenant("mappings", "changed", spec)).status).toBe(201);
    const path = pathOf(resources.mappings, { namespace: shop, name: "changed" });
    const tls = { spec: { tls: home } };
    isRefused(await tenant.call("PATCH", path, tls, typeOf("PATCH")), "is not allowed");
    const applied = { ...emissary, kind: "Mapping", metadata: { name: "changed" }, ...tls };
    const answer = await tenant.call(
      "PATCH",
      `${path}?fieldManager=tenant&force=true`,
      applied,
      "application/apply-patch+yaml",
    );
    isRefused(answer, "is not allowed");
  });

  it("refuses a TLSContext that takes a foreign name, and admits one that the values allow", async () => {
    isRefused(
      await byTenant("tlscontexts", home, { secret: "own" }),
      `is the one of the same name in ${home}`,
    );
    expect((await byTenant("tlscontexts", `${home}-shops`, { secret: "own" })).status).toBe(201);
    expect((await byTenant("mappings", "allowed", { ...spec, tls: `${home}-shops` })).status).toBe(201);
    expect((await byTenant("tlscontexts", "others", { secret: "own" })).status).toBe(201);
  });

  it.each<[string, keyof typeof kinds, () => object]>([
    ["a TLSContext's secret", "tlscontexts", () => ({ secret: `s.${home}`, secret_namespacing: true })],
    [
      "its ca_secret",
      "tlscontexts",
      () => ({ secret: "own", ca_secret: `s.${home}`, secret_namespacing: true }),
    ],
    [
      "its crl_secret",
      "tlscontexts",
      () => ({ secret: "own", crl_secret: `s.${home}`, secret_namespacing: true }),
    ],
    ["a secret by Emissary's default", "tlscontexts", () => ({ secret: `s.${home}` })],
    ["a secret with dots", "tlscontexts", () => ({ secret: `a.b.${home}`, secret_namespacing: true })],
    [
      "an own Secret of a foreign full name",
      "tlscontexts",
      () => ({ secret: `s.${home}`, secret_namespacing: false }),
    ],
    ["a Host's tlsSecret", "hosts", () => ({ hostname: "x", tlsSecret: { name: `s.${home}` } })],
    ["its namespace", "hosts", () => ({ hostname: "x", tlsSecret: { name: "s", namespace: home } })],
    ["a Module's", "modules", () => ({ config: { upstream: { secret: `s.${home}` }, x: "y" } })],
    [
      "its ca_secret",
      "hosts",
      () => ({ hostname: "x", tlsSecret: { name: "own" }, tls: { ca_secret: `s.${home}` } }),
    ],
  ])("refuses %s in the namespace of attaché", async (_what, plural, named) => {
    isRefused(await byTenant(plural, "reaching", named()), "is not allowed in the namespace");
  });

  it("admits Secrets of the own namespace and of others in which attaché does not act", async () => {
    const specs = [
      { secret: "own", secret_namespacing: true },
      { secret: `own.${shop}`, secret_namespacing: true },
      { secret: "wildcard.example.com", secret_namespacing: false },
      { secret: "wildcard.certificates", secret_namespacing: true },
    ];
    for (const [index, one] of specs.entries())
      expect((await byTenant("tlscontexts", `own-${index}`, one)).status).toBe(201);
    expect((await byTenant("hosts", "own", { hostname: "x", tlsSecret: { name: "own" } })).status).toBe(201);
  });

  const service = (name: string, annotations?: object) => ({
    metadata: { name, annotations },
    spec: { ports: [{ port: 80 }] },
  });
  const services = () => `/api/v1/namespaces/${shop}/services`;
  const config = { "getambassador.io/config": "---\nkind: Mapping\nname: z\ntls: storefront\n" };

  it("refuses the annotation getambassador.io/config on Services and Ingresses, however it comes", async () => {
    isRefused(await tenant.call("POST", services(), service("annotated", config)), "getambassador.io/config");
    await tenant.create(services(), service("plain"));
    const path = `${services()}/plain`;
    isRefused(
      await tenant.call("PATCH", path, { metadata: { annotations: config } }, typeOf("PATCH")),
      "getambassador.io/config",
    );
    const ingress = {
      metadata: { name: "annotated", annotations: config },
      spec: { defaultBackend: { service: { name: "plain", port: { number: 80 } } } },
    };
    const ingresses = `/apis/networking.k8s.io/v1/namespaces/${shop}/ingresses`;
    isRefused(await tenant.call("POST", ingresses, ingress), "getambassador.io/config");
    const reaching = {
      metadata: { name: "reaching" },
      spec: { ...ingress.spec, tls: [{ secretName: `s.${home}` }] },
    };
    isRefused(await tenant.call("POST", ingresses, reaching), "may name them");
  });

  it("admits a change of a Service that had the annotation before, but not of the annotation", async () => {
    const unjudged = { metadata: { labels: { judged: null } } };
    await shared.admin.patch(`/api/v1/namespaces/${shop}`, unjudged);
    const path = `${services()}/old`;
    await vi.waitFor(async () => {
      const { status } = await tenant.call("POST", services(), service("old", config));
      expect(status).toBe(201);
    }, 60_000);
    await shared.admin.patch(`/api/v1/namespaces/${shop}`, { metadata: { labels: { judged: home } } });
    const annotations = { "getambassador.io/config": "---\nkind: Mapping\nname: y\n" };
    await vi.waitFor(
      async () =>
        isRefused(
          await tenant.call("PATCH", `${path}?dryRun=All`, { metadata: { annotations } }, typeOf("PATCH")),
          "getambassador.io/config",
        ),
      20_000,
    );
    expect(
      (await tenant.call("PATCH", path, { metadata: { labels: { a: "b" } } }, typeOf("PATCH"))).status,
    ).toBe(200);
    const cleared = { metadata: { annotations: { "getambassador.io/config": null } } };
    expect((await tenant.call("PATCH", path, cleared, typeOf("PATCH"))).status).toBe(200);
  });

  it("refuses a Module that defines TLSContexts", async () => {
    isRefused(await byTenant("modules", "tls", { config: { [home]: { secret: "own" } } }), "Module");
  });
});

describe("the admission policy of attaché's own ServiceAccount", () => {
  const spec = { prefix: "/", service: "web" };
  const label = { "attache.dev/installation": "edge" };
  const tlsContexts = () => `/apis/getambassador.io/v3alpha1/namespaces/${home}/tlscontexts`;
  const context = (name: string, labels: object, secret_namespacing: boolean | undefined) => ({
    ...emissary,
    kind: "TLSContext",
    metadata: { name, labels },
    spec: { secret: "s", secret_namespacing },
  });

  it("admits what attaché publishes, its repair after the label was removed, and its removal", async () => {
    const annotations = { "attache.dev/installation": "edge" };
    for (const type of ["Opaque", "kubernetes.io/tls"]) {
      const secret = {
        metadata: { name: "own", labels: label, annotations },
        type,
        data: { "tls.crt": "", "tls.key": "" },
      };
      expect((await byAttache("POST", "secrets", secret)).status).toBe(201);
      await shared.admin.patch(pathOf(resources.secrets, { namespace: home, name: "own" }), {
        metadata: { labels: { "attache.dev/installation": null } },
      });
      expect((await byAttache("PATCH", "secrets/own", { metadata: { labels: label } })).status).toBe(200);
      expect((await byAttache("DELETE", "secrets/own")).status).toBe(200);
    }
    expect((await attache.call("POST", tlsContexts(), context("own", label, false))).status).toBe(201);
    expect((await attache.call("DELETE", `${tlsContexts()}/own`)).status).toBe(200);
  });

  it("refuses to touch objects without its label, whatever the request adds", async () => {
    const { admin } = shared;
    const own = [
      { name: "foreign", labels: {} },
      { name: "another", labels: { "attache.dev/installation": "another" } },
    ];
    for (const metadata of own) {
      await admin.create(`/api/v1/namespaces/${home}/secrets`, { metadata });
      await admin.create(tlsContexts(), context(metadata.name, metadata.labels, true));
      const path = `secrets/${metadata.name}`;
      const marked = { metadata: { labels: label, annotations: label }, data: { a: "" } };
      isRefused(await byAttache("PATCH", path, marked), "lacks the label attache.dev/installation: edge");
      isRefused(await byAttache("DELETE", path), "lacks the label");
      isRefused(await byAttache("DELETE", `${path}?propagationPolicy=Orphan`), "lacks the label");
      const applied = { apiVersion: "v1", kind: "Secret", ...marked };
      const answer = await attache.call(
        "PATCH",
        `/api/v1/namespaces/${home}/${path}?fieldManager=attache&force=true`,
        applied,
        "application/apply-patch+yaml",
      );
      isRefused(answer, "lacks the label");
      const at = `${tlsContexts()}/${metadata.name}`;
      isRefused(
        await attache.call("PATCH", at, { metadata: { labels: label } }, typeOf("PATCH")),
        "lacks the label",
      );
      isRefused(await attache.call("DELETE", at), "lacks the label");
    }
    isRefused(await byAttache("POST", "secrets", { metadata: { name: "new" } }), "lacks the label");
    const annotated = { metadata: { name: "new", annotations: label } };
    isRefused(await byAttache("POST", "secrets", annotated), "lacks the label");
  });

  it.each([
    ["kubernetes.io/service-account-token", { "kubernetes.io/service-account.name": "default" }],
    ["bootstrap.kubernetes.io/token", {}],
    ["helm.sh/release.v1", {}],
  ])("refuses Secrets of the type %s", async (type, annotations) => {
    const secret = { metadata: { name: "grab", labels: label, annotations }, type };
    isRefused(await byAttache("POST", "secrets", secret), `of the type ${type}`);
  });

  it("admits the names that are adopted, by the values and by an identity, but no token", async () => {
    for (const name of ["taken-over", "greeted"]) {
      await shared.admin.create(`/api/v1/namespaces/${home}/secrets`, { metadata: { name } });
      expect((await byAttache("PATCH", `secrets/${name}`, { metadata: { labels: label } })).status).toBe(200);
    }
    await shared.admin.delete(pathOf(resources.secrets, { namespace: home, name: "taken-over" }));
    const account = { "kubernetes.io/service-account.name": "edge-attache" };
    await shared.admin.create(`/api/v1/namespaces/${home}/secrets`, {
      metadata: { name: "taken-over", annotations: account },
      type: "kubernetes.io/service-account-token",
    });
    const renamed = { metadata: { annotations: { "kubernetes.io/service-account.name": "default" } } };
    isRefused(await byAttache("PATCH", "secrets/taken-over", renamed), "of the type");
  });

  it.each([true, undefined])("refuses a TLSContext with secret_namespacing: %s", async (namespacing) => {
    isRefused(
      await attache.call("POST", tlsContexts(), context("wide", label, namespacing)),
      "secret_namespacing",
    );
  });

  it.each(["Mapping", "TCPMapping"] as const)(
    "admits the touch of a %s, and no other change of it",
    async (kind) => {
      const [plural, resource] =
        kind === "Mapping"
          ? (["mappings", resources.mappings] as const)
          : (["tcpmappings", resources.tcpMappings] as const);
      const path = pathOf(resource, { namespace: shop, name: "touched" });
      await shared.admin.create(pathOf(resource, { namespace: shop }), {
        ...emissary,
        kind,
        metadata: { name: "touched", labels: { a: "b" }, annotations: { a: "b" } },
        spec: plural === "mappings" ? spec : { port: 1, service: "web" },
      });
      const patch = (body: object) => attache.call("PATCH", path, body, typeOf("PATCH"));
      for (const value of ["1", "2", null])
        expect((await patch({ metadata: { annotations: { "attache.dev/nudge": value } } })).status).toBe(200);
      for (const change of [
        { spec: { service: "elsewhere" } },
        { metadata: { annotations: { a: "c" } } },
        { metadata: { annotations: { a: null } } },
        {
          metadata: {
            annotations: { "attache.dev/nudge": "1", "getambassador.io/resource-downloaded": "x" },
          },
        },
        { metadata: { labels: { a: null } } },
        { metadata: { finalizers: ["example.org/a"] } },
        { metadata: { ownerReferences: [{ apiVersion: "v1", kind: "Secret", name: "s", uid: "u" }] } },
      ])
        isRefused(await patch(change), "nothing but the annotation attache.dev/nudge");
    },
  );

  it("refuses a change of a MeshCertificate but for its finalizer, and a foreign Lease", async () => {
    const path = (name: string) => pathOf(resources.meshCertificates, { namespace: home, name });
    const finalizers = ["other.example.org/a"];
    await shared.admin.patch(path(home), { metadata: { finalizers } });
    const own = [...finalizers, "edge.attache.dev/published"];
    const patch = (metadata: object, spec?: object) =>
      attache.call("PATCH", path(home), { metadata, ...(spec && { spec }) }, typeOf("PATCH"));
    expect((await patch({ finalizers: own })).status).toBe(200);
    const because = "nothing but its own finalizer";
    isRefused(await patch({ finalizers: null }), because);
    isRefused(await patch({}, { target: { secret: "other" } }), because);
    isRefused(await patch({ annotations: { "attache.dev/distrust": "*" } }), because);
    isRefused(await patch({ labels: { a: "b" } }), because);
    expect((await patch({ finalizers })).status).toBe(200);
    await shared.admin.patch(path(home), { metadata: { finalizers: null } });
    const leases = `/apis/coordination.k8s.io/v1/namespaces/${home}/leases`;
    const lease = { metadata: { name: "another-users" }, spec: { holderIdentity: "x" } };
    isRefused(await attache.call("POST", leases, lease), "may not create leases");
  });
});
