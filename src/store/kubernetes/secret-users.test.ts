import { describe, expect, it, vi } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { runStore } from "../../../test/peers/kubernetes/store-run.ts";
import { pathOf, type Resource, resources } from "../../kube/resources.ts";
import type { Use } from "../store.ts";

const config = (yaml: string) => ({ "getambassador.io/config": yaml });

interface Case {
  readonly what: string;
  readonly resource: Resource;
  readonly object: object;
  readonly uses: readonly Use[];
}

const cases: readonly Case[] = [
  {
    what: "another TLSContext that names the Secrets",
    resource: resources.tlsContexts,
    object: { spec: { secret: "web-mesh-cert", ca_secret: "web-mesh-ca" } },
    uses: [{ kind: "TLSContext", namespace: "", name: "user" }],
  },
  {
    what: "a Host that names the leaf",
    resource: resources.hosts,
    object: { spec: { hostname: "x", tlsSecret: { name: "web-mesh-cert" } } },
    uses: [{ kind: "Host", namespace: "", name: "user" }],
  },
  {
    what: "a Host that names the roots",
    resource: resources.hosts,
    object: { spec: { hostname: "x", tlsSecret: { name: "own" }, tls: { ca_secret: "web-mesh-ca" } } },
    uses: [{ kind: "Host", namespace: "", name: "user" }],
  },
  {
    what: "a Mapping in the annotation of a Service",
    resource: resources.services,
    object: {
      metadata: {
        annotations: config("---\nkind: Mapping\nname: inner\nprefix: /\nservice: web\ntls: web\n"),
      },
    },
    uses: [{ kind: "Mapping", namespace: "", name: "inner" }],
  },
  {
    what: "a TCPMapping in JSON in the annotation of an Ingress, in the new form",
    resource: resources.ingresses,
    object: {
      metadata: {
        annotations: config(
          JSON.stringify({
            kind: "TCPMapping",
            metadata: { name: "inner" },
            spec: { port: 1, service: "web", tls: "web" },
          }),
        ),
      },
    },
    uses: [{ kind: "TCPMapping", namespace: "", name: "inner" }],
  },
  {
    what: "a TLSContext in an annotation, behind another document",
    resource: resources.services,
    object: {
      metadata: {
        annotations: config(
          "---\nkind: Mapping\nname: other\n---\nkind: TLSContext\nname: inner\nsecret: web-mesh-cert\n",
        ),
      },
    },
    uses: [{ kind: "TLSContext", namespace: "", name: "inner" }],
  },
  {
    what: "an Ingress of whatever controller that names the leaf",
    resource: resources.ingresses,
    object: { spec: { tls: [{ hosts: ["x"] }, { secretName: "web-mesh-cert" }] } },
    uses: [{ kind: "Ingress", namespace: "", name: "user" }],
  },
  {
    what: "a Module",
    resource: resources.modules,
    object: { spec: { config: { client: { secret: "web-mesh-ca" } } } },
    uses: [{ kind: "Module", namespace: "", name: "user" }],
  },
  {
    what: "a Module in an annotation",
    resource: resources.services,
    object: {
      metadata: {
        annotations: config(
          "kind: Module\nname: ambassador\nconfig: { server: { secret: web-mesh-cert } }\n",
        ),
      },
    },
    uses: [{ kind: "Module", namespace: "", name: "ambassador" }],
  },
  {
    what: "a Host in an annotation",
    resource: resources.services,
    object: {
      metadata: {
        annotations: config("kind: Host\nname: inner\nhostname: x\ntlsSecret: { name: web-mesh-cert }\n"),
      },
    },
    uses: [{ kind: "Host", namespace: "", name: "inner" }],
  },
];

describe("what is published is not withdrawn while it is used by", () => {
  it.each(cases)("$what", async ({ resource, object, uses }) => {
    const run = await runStore(fakeCluster(), { uses: undefined });
    await using _ = run;
    const identity = await run.put("web");
    await run.store.apply(identity, targetOf(identity, "1"));
    const { namespace, cluster } = run;
    const { metadata = {}, ...rest } = object as { metadata?: object };
    const path = pathOf(resource, { namespace });
    await cluster.admin.create(path, { metadata: { name: "user", namespace, ...metadata }, ...rest });
    const expected = uses.map((use) => ({ ...use, namespace }));
    await vi.waitFor(() => expect(run.store.usesOf(identity)).toMatchObject(expected));
    await run.peer.remove(`${namespace}/web`);
    await expect(run.store.withdraw(identity)).rejects.toThrow("ATTACHE_STORE_IN_USE");
    expect(await run.peer.objects()).toHaveLength(resource === resources.tlsContexts ? 4 : 3);
    await cluster.admin.delete(`${path}/user`);
    await vi.waitFor(() => expect(run.store.usesOf(identity)).toEqual([]));
    await run.store.withdraw(identity);
    expect(await run.peer.objects()).toEqual([]);
  });

  it("a Mapping that names another TLSContext of the Secrets, and both are shown", async () => {
    const run = await runStore(fakeCluster(), { uses: undefined });
    await using _ = run;
    const identity = await run.put("web");
    await run.store.apply(identity, targetOf(identity, "1"));
    const { namespace, cluster } = run;
    await cluster.admin.create(pathOf(resources.mappings, { namespace }), {
      metadata: { name: "shop", namespace },
      spec: { prefix: "/", service: "web", tls: "own-context" },
    });
    await cluster.admin.create(pathOf(resources.tlsContexts, { namespace }), {
      metadata: { name: "own-context", namespace },
      spec: { secret: "web-mesh-cert", ca_secret: "web-mesh-ca" },
    });
    await vi.waitFor(() =>
      expect(run.store.usesOf(identity)).toEqual([
        { kind: "Mapping", namespace, name: "shop" },
        { kind: "TLSContext", namespace, name: "own-context" },
      ]),
    );
  });

  it("what appears between two removals: the rest stays", async () => {
    const run = await runStore(fakeCluster(), { uses: undefined });
    await using _ = run;
    const identity = await run.put("web");
    await run.store.apply(identity, targetOf(identity, "1"));
    const { namespace, cluster, peer } = run;
    await peer.remove(`${namespace}/web`);
    peer.afterwards = async ({ method }) => {
      if (method !== "DELETE") return;
      peer.afterwards = () => undefined;
      await cluster.admin.create(pathOf(resources.mappings, { namespace }), {
        metadata: { name: "late", namespace },
        spec: { prefix: "/", service: "web", tls: "web" },
      });
      await vi.waitFor(() => expect(run.store.usesOf(identity)).toHaveLength(1));
    };
    await expect(run.store.withdraw(identity)).rejects.toThrow("ATTACHE_STORE_IN_USE");
    expect((await peer.objects()).map(({ metadata }) => metadata.name)).toEqual([
      "web-mesh-ca",
      "web-mesh-cert",
    ]);
    // It is published again at once.
    await run.store.apply(identity, targetOf(identity, "1"));
    expect(await peer.objects()).toHaveLength(3);
  });

  it.each(["before the API server says so", "after it"])(
    "what appears after the last removal, if the watch shows it %s: all of it comes back",
    async (when) => {
      const run = await runStore(fakeCluster(), { uses: undefined });
      await using _ = run;
      const identity = await run.put("web");
      await run.store.apply(identity, targetOf(identity, "1"));
      const { namespace, cluster, peer } = run;
      peer.afterwards = async ({ method, path }) => {
        if (method !== "DELETE" || !path.endsWith("web-mesh-ca")) return;
        await cluster.admin.create(pathOf(resources.mappings, { namespace }), {
          metadata: { name: "late", namespace },
          spec: { prefix: "/", service: "web", tls: "web" },
        });
        if (when === "after it") return;
        await vi.waitFor(() => expect(run.store.usesOf(identity)).toHaveLength(1));
      };
      await peer.remove(`${namespace}/web`);
      expect((await run.events.next("gone")).identity.metadata.name).toBe("web");
      await expect(run.store.withdraw(identity)).rejects.toThrow("ATTACHE_STORE_IN_USE");
      expect(await peer.objects()).toEqual([]);
      const { identity: kept } = await run.events.next("identity");
      expect(await run.store.apply(kept, targetOf(kept, "1"))).toMatchObject({ writes: 3 });

      await cluster.admin.delete(pathOf(resources.mappings, { namespace, name: "late" }));
      await vi.waitFor(() => expect(run.store.usesOf(identity)).toEqual([]));
      peer.afterwards = () => undefined;
      await run.store.withdraw(identity);
      expect(await peer.objects()).toEqual([]);
    },
  );

  it("a consumer of a context that stands in an annotation alone, from the moment on that it appears", async () => {
    const run = await runStore(fakeCluster(), { uses: undefined });
    await using _ = run;
    const identity = await run.put("web");
    await run.store.apply(identity, targetOf(identity, "1"));
    const { namespace, cluster } = run;
    const services = pathOf(resources.services, { namespace });
    const inner = "kind: TLSContext\nname: inner\nsecret: web-mesh-cert\n";
    const holder = { metadata: { name: "holder", namespace, annotations: config(inner) } };
    await cluster.admin.create(services, holder);
    expect((await run.events.next("uses")).key).toBe(`${namespace}/web`);
    const context = { kind: "TLSContext", namespace, name: "inner" };
    expect(run.store.usesOf(identity)).toEqual([context]);
    await cluster.admin.create(pathOf(resources.mappings, { namespace }), {
      metadata: { name: "shop", namespace },
      spec: { prefix: "/", service: "web", tls: "inner" },
    });
    expect((await run.events.next("uses")).key).toBe(`${namespace}/web`);
    expect(run.store.usesOf(identity)).toEqual([{ kind: "Mapping", namespace, name: "shop" }, context]);

    await run.peer.remove(`${namespace}/web`);
    expect((await run.events.next("identity")).identity.metadata.deletionTimestamp).toBeDefined();
    await cluster.admin.delete(`${services}/holder`);
    expect(await run.events.next("gone")).toBeDefined();
  });
});

describe("a name that an annotation or a Host takes", () => {
  const taking: readonly [string, Resource, (namespace: string) => object, string][] = [
    [
      "a context of the same name in an annotation",
      resources.services,
      () => ({ metadata: { annotations: config("kind: TLSContext\nname: web\nsecret: other\n") } }),
      "ContextNameTaken",
    ],
    [
      "a context in an annotation that imitates a Secret",
      resources.ingresses,
      (namespace) => {
        const text = `kind: TLSContext\nname: x\nca_secret: web-mesh-ca.${namespace}\nsecret_namespacing: false\n`;
        return { metadata: { annotations: config(text) } };
      },
      "SecretNameTaken",
    ],
    [
      "a Host that imitates a Secret",
      resources.hosts,
      (namespace) => ({ spec: { hostname: "x", tlsSecret: { name: `web-mesh-cert.${namespace}` } } }),
      "SecretNameTaken",
    ],
    [
      "a Module that defines a context of the same name",
      resources.modules,
      () => ({ metadata: { name: "tls" }, spec: { config: { web: { secret: "other" } } } }),
      "ContextNameTaken",
    ],
    [
      "an Ingress that imitates a Secret",
      resources.ingresses,
      (namespace) => ({
        metadata: { annotations: { "kubernetes.io/ingress.class": "ambassador" } },
        spec: { tls: [{ secretName: `web-mesh-cert.${namespace}` }] },
      }),
      "SecretNameTaken",
    ],
    [
      "a Module that imitates a Secret",
      resources.modules,
      (namespace) => ({ spec: { config: { upstream: { secret: `web-mesh-ca.${namespace}` } } } }),
      "SecretNameTaken",
    ],
    [
      "a Host in an annotation that imitates a Secret",
      resources.services,
      (namespace) => {
        const text = `kind: Host\nname: x\nhostname: x\ntlsSecret: { name: web-mesh-cert.${namespace} }\n`;
        return { metadata: { annotations: config(text) } };
      },
      "SecretNameTaken",
    ],
  ];

  it.each(taking)(
    "is a conflict, and no longer than it is there: %s",
    async (_what, resource, given, reason) => {
      const run = await runStore(fakeCluster(), { uses: undefined, consumersIn: [] });
      await using _ = run;
      const identity = await run.put("web");
      await run.store.apply(identity, targetOf(identity, "1"));
      const { namespace, cluster } = run;
      const elsewhere = await cluster.namespace();
      const { metadata = {}, ...rest } = given(namespace) as { metadata?: { name?: string } };
      const { name = "taker" } = metadata;
      const path = pathOf(resource, { namespace: elsewhere });
      await cluster.admin.create(path, {
        metadata: { ...metadata, name, namespace: elsewhere },
        ...rest,
      });
      expect((await run.events.next("uses")).key).toBe(`${namespace}/web`);
      const conflicts = run.store.conflictsOf(identity);
      expect(conflicts.map((one) => one.reason)).toEqual([reason]);
      expect(conflicts[0]?.message).toContain(`${elsewhere}/`);
      expect(conflicts[0]?.message).toContain(`${namespace}/web`);
      await cluster.admin.delete(`${path}/${name}`);
      await run.events.next("uses");
      expect(run.store.conflictsOf(identity)).toEqual([]);
    },
  );

  it("is refused to a MeshCertificate that comes later", async () => {
    const run = await runStore(fakeCluster(), { uses: undefined, consumersIn: [] });
    await using _ = run;
    const namespace = await run.cluster.namespace();
    await run.cluster.admin.create(pathOf(resources.services, { namespace }), {
      metadata: { name: "taker", namespace, annotations: config("kind: TLSContext\nname: web\n") },
    });
    await vi.waitFor(() => expect(run.store.contexts).toHaveLength(1));
    const identity = await run.put("web");
    await expect(run.store.apply(identity, targetOf(identity, "1"))).rejects.toThrow(
      `in the namespace "${namespace}" in the annotation of Service taker`,
    );
  });
});
