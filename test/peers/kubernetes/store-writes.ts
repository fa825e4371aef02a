import { describe, expect, it, vi } from "vitest";
import { ApiError } from "../../../src/kube/api-error.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import type { Manifest, SecretManifest } from "../../../src/render/manifest.ts";
import type { StoredObject } from "../../../src/store/kubernetes/api-object.ts";
import { idOf } from "../../conformance/store-scenario.ts";
import { targetOf } from "../../conformance/store-target.ts";
import { startClusterPeer } from "./store-peer.ts";
import { runStore, type StoreCluster, type StoreRun } from "./store-run.ts";

const firstWrites = [
  "PATCH meshcertificates/storefront",
  "POST secrets/storefront-mesh-ca",
  "POST secrets/storefront-mesh-cert",
  "POST tlscontexts/storefront",
];

function byId(one: Manifest, other: Manifest): number {
  return idOf(one) < idOf(other) ? -1 : 1;
}

/** How the store writes, and what it asks for, on a real API server and on one in memory. */
export function describeWrites(cluster: () => Promise<StoreCluster>): void {
  async function published(options?: Parameters<typeof runStore>[1]) {
    const run = await runStore(await cluster(), options);
    const identity = await run.put("storefront");
    const target = targetOf(identity, "1");
    await run.store.apply(identity, target);
    return { run, identity, target };
  }

  function secretPath({ namespace }: StoreRun, name: string): string {
    return pathOf(resources.secrets, { namespace, name });
  }

  function contextPath({ namespace }: StoreRun, name = "storefront"): string {
    return pathOf(resources.tlsContexts, { namespace, name });
  }

  describe("a publication costs", () => {
    it("a finalizer and three creates the first time, and nothing again", async () => {
      const { run, identity, target } = await published();
      await using _ = run;
      expect(run.requests()).toEqual(firstWrites);
      await run.store.apply(identity, target);
      expect(run.requests()).toEqual([]);
    });

    it("one server-side apply for each object that changes, and no read", async () => {
      const { run, identity } = await published();
      await using _ = run;
      run.requests();
      await run.store.apply(identity, targetOf(identity, { ca: "1", leaf: "2" }));
      expect(run.requests()).toEqual(["PATCH secrets/storefront-mesh-cert"]);
      await run.store.apply(identity, targetOf(identity, { ca: "2", leaf: "2", alpn: "h2" }));
      expect(run.requests()).toEqual(["PATCH secrets/storefront-mesh-ca", "PATCH tlscontexts/storefront"]);
    });

    it("after a restart one list of all Secrets, and no write", async () => {
      const { run, target } = await published();
      await using _ = run;
      const billing = await run.put("billing");
      await run.store.apply(billing, targetOf(billing, "1"));
      run.requests();
      await run.restart();
      const events = [await run.events.next("identity"), await run.events.next("identity")];
      for (const { identity, manifests = [] } of events) {
        const wanted = identity.metadata.name === "billing" ? targetOf(billing, "1") : target;
        expect(manifests.toSorted(byId)).toEqual(wanted.toSorted(byId));
        expect(await run.store.apply(identity, wanted)).toEqual({ writes: 0 });
      }
      expect(events.map(({ identity }) => identity.metadata.name).toSorted()).toEqual([
        "billing",
        "storefront",
      ]);
      expect(run.requests()).toEqual(["GET secrets/"]);
    });

    it("after a restart one read for each Secret where a list is refused", async () => {
      const { run, target } = await published();
      await using _ = run;
      await run.stop();
      run.peer.intercept = () => {
        run.peer.intercept = () => undefined;
        throw new ApiError("ATTACHE_KUBERNETES_FORBIDDEN", "no list today", { status: 403 });
      };
      await run.restart();
      const { identity, manifests } = await run.events.next("identity");
      expect(manifests).toBeUndefined();
      run.requests();
      expect((await run.store.read(identity)).toSorted(byId)).toEqual(target.toSorted(byId));
      expect(run.requests().toSorted()).toEqual([
        "GET secrets/storefront-mesh-ca",
        "GET secrets/storefront-mesh-cert",
      ]);
    });

    it("one apply for a status, and no read, although another client edits the MeshCertificate at this moment", async () => {
      const { run, identity } = await published();
      await using _ = run;
      run.requests();
      const path = pathOf(resources.meshCertificates, { namespace: run.namespace, name: "storefront" });
      run.peer.intercept = async () => {
        run.peer.intercept = () => undefined;
        await run.cluster.admin.patch(path, { metadata: { labels: { by: "hand" } } });
      };
      await run.store.report(identity, { conditions: [], serialNumber: "0a" });
      expect(run.requests()).toEqual(["PATCH meshcertificates/status/storefront"]);
      const found = await run.cluster.admin.get<StoredObject>(path);
      expect(found).toMatchObject({ metadata: { labels: { by: "hand" } }, status: { serialNumber: "0a" } });
    });

    it("what a label costs that the identity has no more: it goes", async () => {
      await using run = await runStore(await cluster());
      const labelled = await run.put("storefront", { target: { labels: { team: "edge", tier: "1" } } });
      await run.store.apply(labelled, targetOf(labelled, "1"));
      const plain = await run.put("storefront", { target: { labels: { team: "edge" } } });
      await run.store.apply(plain, targetOf(plain, "1"));
      const { metadata } = await run.cluster.admin.get<StoredObject>(secretPath(run, "storefront-mesh-ca"));
      expect(metadata.labels).toEqual({ team: "edge", "attache.dev/installation": "attache" });
      run.requests();
      await run.store.apply(plain, targetOf(plain, "1"));
      expect(run.requests()).toEqual([]);
    });

    it("nothing more for annotations of the TLSContext, which are kept as they are, and go when they are wanted no more", async () => {
      await using run = await runStore(await cluster());
      const put = async (annotations: object) => {
        const identity = await run.put("storefront", { target: { tlsContext: { annotations } } });
        return { identity, target: targetOf(identity, "1") };
      };
      const { admin } = run.cluster;
      const found = async () => {
        const { metadata } = await admin.get<StoredObject>(contextPath(run));
        const { team, tier, by } = metadata.annotations ?? {};
        return { team, tier, by };
      };
      const { target } = await put({ team: "edge", tier: "1" });
      await run.restart();
      const { identity } = await run.events.next("identity");
      await run.store.apply(identity, target);
      expect(await found()).toEqual({ team: "edge", tier: "1" });
      await run.restart();
      const { identity: again } = await run.events.next("identity");
      await run.store.read(again);
      expect(await run.store.apply(again, target)).toEqual({ writes: 0 });

      await run.events.next("synced");
      await admin.patch(contextPath(run), { metadata: { annotations: { team: "theirs", by: "hand" } } });
      await run.events.next("drift");
      expect(await run.store.apply(again, target)).toEqual({ writes: 1 });
      expect(await found()).toEqual({ team: "edge", tier: "1", by: "hand" });

      const less = await put({ tier: "1" });
      await run.store.apply(less.identity, less.target);
      expect(await found()).toEqual({ tier: "1", by: "hand" });
      expect(await run.store.apply(less.identity, less.target)).toEqual({ writes: 0 });
    });

    it("what a field costs that the target has no more: it goes", async () => {
      const { run, identity, target } = await published();
      await using _ = run;
      const [ca, leaf, context] = target;
      if (context.kind !== "TLSContext") throw new Error("the third is the context");
      const { alpn_protocols: _alpn, ...spec } = context.spec;
      await run.store.apply(identity, [ca, leaf, { ...context, spec }]);
      const found = await run.cluster.admin.get<StoredObject>(contextPath(run));
      expect(found.spec).toEqual(spec);
    });
  });

  describe("an object of the target's name that another client owns", () => {
    const contextType = { apiVersion: "getambassador.io/v3alpha1", kind: "TLSContext" };

    async function withForeign(type: string, spec: object) {
      const run = await runStore(await cluster());
      const { admin } = run.cluster;
      await admin.create(pathOf(resources.secrets, { namespace: run.namespace }), {
        metadata: { name: "storefront-mesh-cert", labels: { app: "theirs" } },
        type,
        data: { "tls.crt": btoa("theirs"), "tls.key": btoa("theirs"), "ca.crt": btoa("theirs") },
      });
      const identity = await run.put("storefront", { target: spec });
      return { run, identity, target: targetOf(identity, "1") };
    }

    it("is refused, and reported with its manager", async () => {
      const { run, identity, target } = await withForeign("Opaque", {});
      await using _ = run;
      await expect(run.store.apply(identity, target)).rejects.toThrow(
        /TARGET_TAKEN: Secret .*storefront-mesh-cert is taken: ".+" has made it, and not attaché/,
      );
    });

    it("is refused in one line, whatever its maker has written on it", async () => {
      const { run, identity, target } = await withForeign("Opaque", {});
      await using _ = run;
      const annotations = {
        "attache.dev/installation": `theirs\u001b[2J${"x ".repeat(50_000)}`,
        "attache.dev/name": `\n\u001b]0;owned\u0007${"y ".repeat(50_000)}`,
      };
      await run.cluster.admin.patch(secretPath(run, "storefront-mesh-cert"), { metadata: { annotations } });
      const error: unknown = await run.store.apply(identity, target).catch((refusal: unknown) => refusal);
      const message = String(error);
      expect(message).toMatch(/^[^\p{C}]*the installation "theirs[x ]+…" publishes it[^\p{C}]*$/u);
      expect(message.length).toBeLessThan(1_000);
    });

    it("is taken over where the identity says so, with its type and its other keys", async () => {
      const { run, identity, target } = await withForeign("Opaque", { adopt: true });
      await using _ = run;
      expect(await run.store.apply(identity, target)).toEqual({ writes: 3 });
      const path = secretPath(run, "storefront-mesh-cert");
      const found = await run.cluster.admin.get<StoredObject>(path);
      expect(found.type).toBe("Opaque");
      expect(found.data).toEqual({ ...(target[1] as SecretManifest).data, "ca.crt": btoa("theirs") });
      expect(found.metadata.labels).toMatchObject({ app: "theirs", "attache.dev/installation": "attache" });
      run.requests();
      await run.store.apply(identity, target);
      expect(run.requests()).toEqual([]);

      const data = { password: btoa("theirs"), "tls.crt": btoa("spoilt"), "crl.pem": btoa("spoilt") };
      await run.cluster.admin.patch(path, { data });
      await run.events.next("drift");
      await run.store.apply(identity, target);
      const { data: repaired } = await run.cluster.admin.get<StoredObject>(path);
      expect(repaired).toEqual({ ...found.data, password: btoa("theirs") });
    });

    it("is still known as another client's after a restart, costs no write, and is given back at the end", async () => {
      const { run, identity, target } = await withForeign("Opaque", { adopt: true });
      await using _ = run;
      await run.store.apply(identity, target);
      const path = secretPath(run, "storefront-mesh-cert");
      await run.restart();
      const { identity: again } = await run.events.next("identity");
      await run.store.read(again);
      expect(await run.store.apply(again, target)).toEqual({ writes: 0 });
      const { data } = await run.cluster.admin.get<StoredObject>(path);
      await run.events.next("synced");
      await run.store.withdraw(again);
      const left = await run.cluster.admin.get<StoredObject>(path);
      expect(left.data).toEqual(data);
      expect(left.metadata.labels).toEqual({ app: "theirs" });
      expect(left.metadata.annotations ?? {}).toEqual({});
      expect(await run.cluster.admin.call("GET", secretPath(run, "storefront-mesh-ca"))).toMatchObject({
        status: 404,
      });
    });

    it("keeps the fields of a TLSContext that attaché does not have", async () => {
      const run = await runStore(await cluster());
      await using _ = run;
      const { admin } = run.cluster;
      const path = pathOf(resources.tlsContexts, { namespace: run.namespace });
      const theirs = { hosts: ["web.example.org"], redirect_cleartext_from: 8080, secret: "old", sni: "old" };
      await admin.create(path, { ...contextType, metadata: { name: "storefront" }, spec: theirs });
      const identity = await run.put("storefront", { target: { adopt: true } });
      const target = targetOf(identity, "1");
      expect(await run.store.apply(identity, target)).toEqual({ writes: 3 });
      const { hosts, redirect_cleartext_from } = theirs;
      const { spec } = await admin.get<StoredObject>(`${path}/storefront`);
      expect(spec).toMatchObject({ hosts, redirect_cleartext_from, secret: "storefront-mesh-cert" });
      run.requests();
      await run.store.apply(identity, target);
      expect(run.requests()).toEqual([]);
      await run.store.withdraw(identity);
      expect(await admin.get<StoredObject>(`${path}/storefront`)).toMatchObject({ spec: { hosts } });
    });

    it.each([
      ["root-cert.pem", "Secret", { data: { "root-cert.pem": btoa("theirs") } }],
      ["cert_required", "TLSContext", { spec: { cert_required: true } }],
      ["private_key_file", "TLSContext", { spec: { private_key_file: "/key" } }],
    ] as const)("is refused for its %s, which could not stay", async (field, kind, content) => {
      const run = await runStore(await cluster());
      await using _ = run;
      const { admin, namespace } = { admin: run.cluster.admin, namespace: run.namespace };
      const resource = kind === "Secret" ? resources.secrets : resources.tlsContexts;
      const type = kind === "Secret" ? {} : contextType;
      const name = kind === "Secret" ? "storefront-mesh-cert" : "storefront";
      const made = await admin.create<StoredObject>(pathOf(resource, { namespace }), {
        ...type,
        metadata: { name },
        ...content,
      });
      const identity = await run.put("storefront", { target: { adopt: true } });
      await expect(run.store.apply(identity, targetOf(identity, "1"))).rejects.toThrow(
        `it has ${field}, which`,
      );
      const { metadata } = await admin.get<StoredObject>(pathOf(resource, { namespace, name }));
      expect(metadata.resourceVersion).toBe(made.metadata.resourceVersion);
    });

    it("is refused all the same where Emissary reads nothing of its type", async () => {
      const { run, identity, target } = await withForeign("example.com/other", { adopt: true });
      await using _ = run;
      await expect(run.store.apply(identity, target)).rejects.toThrow(
        /of the type example.com\/other, which Emissary does not read/,
      );
    });
  });

  describe("the name of a TLSContext", () => {
    it("is refused where another namespace has it, for an Emissary that sees both", async () => {
      const shared = await cluster();
      const other = await shared.namespace();
      const context = (...ids: string[]) =>
        shared.admin.apply(pathOf(resources.tlsContexts, { namespace: other, name: "storefront" }), {
          apiVersion: "getambassador.io/v3alpha1",
          kind: "TLSContext",
          metadata: { name: "storefront", namespace: other },
          spec: { ambassador_id: ids, secret: "theirs" },
        });
      await context("default", "edge");
      const peer = await startClusterPeer(shared);
      await using run = await runStore(shared, { namespaces: [peer.namespace, other] }, peer);
      const identity = await run.put("storefront");
      const target = targetOf(identity, "1");
      await expect(run.store.apply(identity, target)).rejects.toThrow(
        `there is one of this name in the namespace "${other}", and to Emissary they are the same`,
      );
      expect(run.requests()).toEqual([]);
      await context("edge");
      await vi.waitFor(
        async () => expect(await run.store.apply(identity, target)).toEqual({ writes: 3 }),
        30_000,
      );
      // It is for the other's Emissary now: as its own it must not come there.
      const [ca, leaf, own] = target;
      if (own.kind !== "TLSContext") throw new Error("the last is the TLSContext");
      const wider = { ...own, spec: { ...own.spec, ambassador_id: ["default", "edge"] } };
      await expect(run.store.apply(identity, [ca, leaf, wider])).rejects.toThrow(
        "to Emissary they are the same",
      );
      expect(await run.store.apply(identity, target)).toEqual({ writes: 0 });
    });

    it("is kept for one of two identities that want it at the same time", async () => {
      const shared = await cluster();
      const other = await startClusterPeer(shared);
      const peer = await startClusterPeer(shared);
      await using run = await runStore(shared, { namespaces: [peer.namespace, other.namespace] }, peer);
      const one = await run.put("storefront");
      await other.put(`${other.namespace}/storefront`, { consul: { service: "storefront" } });
      const { identity: two } = await run.events.next("identity");
      const results = await Promise.allSettled(
        [one, two].map((each) => run.store.apply(each, targetOf(each, "1"))),
      );
      expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
      expect(await other.objects()).toEqual([]);
    });

    it("is refused where it takes a Host's certificate away", async () => {
      const shared = await cluster();
      const peer = await startClusterPeer(shared);
      const { namespace } = peer;
      await shared.admin.create(pathOf(resources.hosts, { namespace }), {
        apiVersion: "getambassador.io/v3alpha1",
        kind: "Host",
        metadata: { name: "shop" },
        spec: { hostname: "shop.example.org" },
      });
      await using run = await runStore(shared, { uses: undefined }, peer);
      await vi.waitFor(() => expect(run.store.consumers()).toBeDefined());
      const identity = await run.put("storefront", { target: { tlsContext: { name: "shop-context" } } });
      await expect(run.store.apply(identity, targetOf(identity, "1"))).rejects.toThrow(
        /TARGET_TAKEN: TLSContext .*shop-context is taken: Emissary makes a context of this name for the Host "shop"/,
      );
      expect(await run.peer.objects()).toEqual([]);
    });
  });
}
