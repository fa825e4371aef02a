import { describe, expect, it } from "vitest";
import { consumerOf } from "../../../src/emissary/consumer.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import type { StoredObject } from "../../../src/store/kubernetes/api-object.ts";
import { targetOf } from "../../conformance/store-target.ts";
import { runStore, type StoreCluster, type StoreRun } from "./store-run.ts";

/** What the store does about what others do, on a real API server and on one in memory. */
export function describeDrift(cluster: () => Promise<StoreCluster>): void {
  async function published(options?: Parameters<typeof runStore>[1]) {
    const run = await runStore(await cluster(), options);
    const identity = await run.put("storefront");
    const target = targetOf(identity, "1");
    await run.store.apply(identity, target);
    run.requests();
    return { run, identity, target };
  }

  const ca = ({ namespace }: StoreRun) =>
    pathOf(resources.secrets, { namespace, name: "storefront-mesh-ca" });
  const context = ({ namespace }: StoreRun) =>
    pathOf(resources.tlsContexts, { namespace, name: "storefront" });
  const get = ({ cluster: { admin } }: StoreRun, path: string) => admin.get<StoredObject>(path);

  describe("what another client does to what is published", () => {
    it.each([
      ["a value is changed back, with one apply", { data: { "tls.crt": "Zm9yZWlnbg==" } }, ["GET", "PATCH"]],
      ["a key is taken out, and nothing applied", { data: { "ca.crt": "Zm9yZWlnbg==" } }, ["GET", "PATCH"]],
      [
        "both are undone",
        { data: { "tls.crt": "Zm9yZWlnbg==", "ca.crt": "Zm9yZWlnbg==" } },
        ["GET", "PATCH", "PATCH"],
      ],
      ["a label of theirs stays, and costs no write", { metadata: { labels: { by: "hand" } } }, ["GET"]],
      [
        "an annotation of theirs stays, and costs no write",
        { metadata: { annotations: { by: "hand" } } },
        ["GET"],
      ],
      [
        "a mark of attaché is put back",
        { metadata: { annotations: { "attache.dev/installation": null, "attache.dev/identity": null } } },
        ["GET", "PATCH"],
      ],
      [
        "the label of attaché is put back",
        { metadata: { labels: { "attache.dev/installation": null } } },
        ["GET", "PATCH"],
      ],
      [
        "the name of another identity is none of theirs",
        { metadata: { annotations: { "attache.dev/identity": "another" } } },
        ["GET", "PATCH"],
      ],
    ])("to a Secret: %s", async (_, edit, methods) => {
      const { run, identity, target } = await published();
      await using _run = run;
      const before = await get(run, ca(run));
      await run.cluster.admin.patch(ca(run), edit);
      await run.events.next("drift");
      await run.store.apply(identity, target);
      expect(run.requests()).toEqual(methods.map((method) => `${method} secrets/storefront-mesh-ca`));
      const after = await get(run, ca(run));
      expect(after.data).toEqual(before.data);
      expect(after.metadata.labels).toMatchObject(before.metadata.labels ?? {});
      expect(after.metadata.annotations).toMatchObject(before.metadata.annotations ?? {});
      await run.store.apply(identity, target);
      expect(run.requests()).toEqual([]);
    });

    it.each([
      ["a label of theirs", { labels: { by: "hand" } }],
      ["a nudge of its Emissary", { annotations: { "attache.dev/nudge": "1" } }],
    ])("to a TLSContext: %s stays, is no drift and costs nothing", async (_, metadata) => {
      const { run, identity, target } = await published();
      await using _run = run;
      const before = await get(run, context(run));
      await run.cluster.admin.patch(context(run), { metadata });
      await run.put("billing");
      await run.store.apply(identity, target);
      expect(run.requests()).toEqual([]);
      expect(await get(run, context(run))).toMatchObject({ spec: before.spec, metadata });
    });

    it.each([
      ["a value is changed back", { spec: { secret: "theirs" } }, ["GET", "PATCH"]],
      ["a key is taken out", { spec: { sni: "theirs" } }, ["GET", "PATCH"]],
    ])("to a TLSContext: %s", async (_, edit, methods) => {
      const { run, identity, target } = await published();
      await using _run = run;
      const before = await get(run, context(run));
      await run.cluster.admin.patch(context(run), edit);
      await run.events.next("drift");
      await run.store.apply(identity, target);
      expect(run.requests()).toEqual(methods.map((method) => `${method} tlscontexts/storefront`));
      expect((await get(run, context(run))).spec).toEqual(before.spec);
    });

    it("does not go back to what was published before a new target", async () => {
      const { run, identity } = await published();
      await using _run = run;
      await run.cluster.admin.patch(ca(run), { data: { "ca.crt": "Zm9yZWlnbg==" } });
      await run.events.next("drift");
      const [newCa] = targetOf(identity, "2");
      await run.store.apply(identity, targetOf(identity, "2"));
      expect((await get(run, ca(run))).data).toEqual(newCa.kind === "Secret" && newCa.data);
    });
  });

  describe("a repair in a race", () => {
    it("is decided again when another client writes between the read and the repair", async () => {
      const { run, identity, target } = await published();
      await using _run = run;
      await run.cluster.admin.patch(ca(run), { data: { "tls.crt": "MQ==" } });
      await run.events.next("drift");
      let isFirst = true;
      run.peer.intercept = async ({ method }) => {
        if (method !== "PATCH" || !isFirst) return;
        isFirst = false;
        await run.cluster.admin.patch(ca(run), { data: { "tls.crt": "Mg==" } });
      };
      expect(await run.store.apply(identity, target)).toEqual({ writes: 1 });
      expect(run.requests()).toEqual(
        ["GET", "PATCH", "GET", "PATCH"].map((method) => `${method} secrets/storefront-mesh-ca`),
      );
      expect((await get(run, ca(run))).data).toEqual(target[0].kind === "Secret" && target[0].data);
    });

    it("makes the object again when another client deletes it in between, and never takes over what they put there", async () => {
      const { run, identity } = await published();
      await using _run = run;
      const { admin } = run.cluster;
      let deed: (() => Promise<unknown>) | undefined = () => admin.delete(ca(run));
      run.peer.intercept = async ({ method }) => {
        if (method !== "PATCH") return;
        await deed?.();
        deed = undefined;
      };
      const target = targetOf(identity, { ca: "2", leaf: "1" });
      expect(await run.store.apply(identity, target)).toEqual({ writes: 1 });
      deed = async () => {
        await admin.delete(ca(run));
        const { namespace } = run;
        await admin.create(pathOf(resources.secrets, { namespace }), {
          metadata: { name: "storefront-mesh-ca" },
          data: { "tls.crt": btoa("theirs") },
        });
      };
      await expect(run.store.apply(identity, targetOf(identity, { ca: "3", leaf: "1" }))).rejects.toThrow(
        "ATTACHE_STORE_TARGET_TAKEN",
      );
      const { data } = await get(run, ca(run));
      expect(data).toEqual({ "tls.crt": btoa("theirs") });
    });

    it("writes nothing once another replica leads", async () => {
      let mayWrite = true;
      const { run, identity } = await published({ mayWrite: () => mayWrite });
      await using _run = run;
      run.peer.intercept = async ({ method }) => {
        if (method !== "PATCH") return;
        await run.cluster.admin.patch(ca(run), { data: { "tls.crt": "MQ==" } });
        mayWrite = false;
      };
      // It is refused for being late, and what is read after that is not overwritten.
      const target = targetOf(identity, { ca: "2", leaf: "1" });
      await expect(run.store.apply(identity, target)).rejects.toThrow("ATTACHE_STORE_DEPOSED");
      expect(run.requests()).toEqual(
        ["PATCH", "GET"].map((method) => `${method} secrets/storefront-mesh-ca`),
      );
      expect((await get(run, ca(run))).data).toEqual({ "tls.crt": "MQ==" });
    });
  });

  describe("a nudge", () => {
    const nudge = "attache.dev/nudge";
    const patched = ["PATCH tlscontexts/storefront"];

    it("costs one request, has a field manager of its own, and is no drift", async () => {
      const { run, identity, target } = await published();
      await using _run = run;
      const before = await get(run, context(run));
      await run.store.nudge(identity, "storefront");
      expect(run.requests()).toEqual(patched);
      const { metadata, spec } = await get(run, context(run));
      expect(spec).toEqual(before.spec);
      expect(metadata.annotations).toMatchObject({
        ...before.metadata.annotations,
        [nudge]: expect.any(String) as string,
      });
      expect(metadata.managedFields?.map(({ manager }) => manager)).toContain("attache-nudge");
      await run.store.apply(identity, target);
      expect(run.requests()).toEqual([]);
    });

    it("is not taken away by the next apply, and another one follows it", async () => {
      const { run, identity } = await published();
      await using _run = run;
      await run.store.nudge(identity, "storefront");
      const [ca, leaf, own] = targetOf(identity, "1");
      if (own.kind !== "TLSContext") throw new Error("no context");
      await run.store.apply(identity, [ca, leaf, { ...own, spec: { ...own.spec, sni: "new" } }]);
      const first = (await get(run, context(run))).metadata.annotations?.[nudge];
      expect(first).toBeDefined();
      await run.store.nudge(identity, "storefront");
      expect((await get(run, context(run))).metadata.annotations?.[nudge]).not.toBe(first);
      expect(run.requests()).toEqual([...patched, ...patched, ...patched]);
    });

    it("reads again when another client was faster, and makes nothing that is gone", async () => {
      const { run, identity } = await published();
      await using _run = run;
      const { admin } = run.cluster;
      let deed: (() => Promise<unknown>) | undefined = () =>
        admin.patch(context(run), { metadata: { labels: { by: "hand" } } });
      run.peer.intercept = async ({ method }) => {
        if (method !== "PATCH") return;
        await deed?.();
        deed = undefined;
      };
      await run.store.nudge(identity, "storefront");
      expect(run.requests()).toEqual([...patched, "GET tlscontexts/storefront", ...patched]);
      deed = () => admin.delete(context(run));
      await expect(run.store.nudge(identity, "storefront")).rejects.toThrow("is not there any more");
      expect((await admin.call("GET", context(run))).status).toBe(404);
    });

    it("leaves a context alone that is another client's", async () => {
      const { run, identity } = await published();
      await using _run = run;
      await run.cluster.admin.patch(context(run), {
        metadata: { annotations: { "attache.dev/identity": "another", "attache.dev/name": "another" } },
      });
      await run.events.next("drift");
      await expect(run.store.nudge(identity, "storefront")).rejects.toThrow("ATTACHE_STORE_UNWRITABLE");
      expect(run.requests().filter((request) => request.startsWith("PATCH"))).toEqual([]);
    });

    it("is none of a replica's that does not lead", async () => {
      let mayWrite = true;
      const { run, identity } = await published({ mayWrite: () => mayWrite });
      await using _run = run;
      mayWrite = false;
      await expect(run.store.nudge(identity, "storefront")).rejects.toThrow("ATTACHE_STORE_DEPOSED");
      expect(run.requests()).toEqual([]);
    });

    it("of a Mapping that another client changes or replaces meanwhile is refused, and changes nothing", async () => {
      const { run } = await published();
      await using _run = run;
      const { admin } = run.cluster;
      const { consumer, path, create } = await mapping(run);
      let deed = () => admin.patch(path, { metadata: { labels: { by: "hand" } } });
      run.peer.intercept = async ({ method }) => {
        if (method === "PATCH") await deed();
      };
      await expect(run.store.touchMapping(consumer)).rejects.toMatchObject({ status: 409 });
      deed = async () => {
        await admin.delete(path);
        return create();
      };
      await expect(run.store.touchMapping(consumer)).rejects.toThrow("ATTACHE_KUBERNETES_");
      expect((await get(run, path)).metadata.annotations ?? {}).toEqual({});
    });

    it("of a Mapping is none of a replica's that does not lead", async () => {
      let mayWrite = true;
      const { run } = await published({ mayWrite: () => mayWrite });
      await using _run = run;
      const { consumer } = await mapping(run);
      await run.store.touchMapping(consumer);
      mayWrite = false;
      await expect(run.store.touchMapping(consumer)).rejects.toThrow("ATTACHE_STORE_DEPOSED");
      expect(run.requests().filter((request) => request.startsWith("PATCH"))).toHaveLength(1);
    });
  });

  /** One that uses the context of the identity. */
  async function mapping({ cluster: { admin }, namespace }: StoreRun) {
    const object = {
      apiVersion: "getambassador.io/v3alpha1",
      kind: "Mapping",
      metadata: { name: "web", namespace, uid: "web" },
      spec: { prefix: "/", service: "web", tls: "storefront" },
    };
    const create = () => admin.create(pathOf(resources.mappings, { namespace }), object);
    await create();
    const consumer = consumerOf("Mapping", object);
    if (consumer === undefined) throw new Error("names no context");
    return { consumer, path: pathOf(resources.mappings, { namespace, name: "web" }), create };
  }

  describe("write contention with another field manager", () => {
    // Two pauses, by the machine's clock.
    it("is reported with its name, and repaired at growing intervals", { timeout: 60_000 }, async () => {
      const { run, identity, target } = await published();
      await using _run = run;
      const edit = async () => {
        await run.cluster.admin.apply(ca(run), {
          apiVersion: "v1",
          kind: "Secret",
          metadata: { name: "storefront-mesh-ca" },
          data: { "tls.crt": "Zm9yZWlnbg==" },
        });
        await run.events.next("drift");
      };
      const isRepaired = async () => (await get(run, ca(run))).data?.["tls.crt"] !== "Zm9yZWlnbg==";
      for (let failures = 0; failures < 3; failures += 1) {
        await edit();
        await run.store.apply(identity, target);
        expect(await isRepaired()).toBe(true);
      }
      for (let pauses = 0; pauses < 2; pauses += 1) {
        await edit();
        const { problem } = await run.store.apply(identity, target);
        expect(problem?.message).toMatch(
          /^ATTACHE_STORE_CONTENTION: the field manager "tests" keeps changing Secret/,
        );
        expect(await isRepaired()).toBe(false);
        // The end of the pause; an event of the edit itself may still come before it.
        do {
          await run.events.next("drift");
          await run.store.apply(identity, target);
        } while (!(await isRepaired()));
      }
    });

    it("holds up nothing new", async () => {
      const { run, identity, target } = await published();
      await using _run = run;
      for (let edits = 0; edits < 5; edits += 1) {
        await run.cluster.admin.patch(ca(run), { data: { "tls.crt": btoa(`${edits}`) } });
        await run.events.next("drift");
        await run.store.apply(identity, target);
      }
      const rotated = targetOf(identity, { ca: "1", leaf: "2" });
      expect(await run.store.apply(identity, rotated)).toMatchObject({ writes: 2 });
      expect((await get(run, ca(run))).data).toEqual(target[0].kind === "Secret" && target[0].data);
    });
  });
}
