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
});
