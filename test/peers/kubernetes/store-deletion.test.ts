import { describe, expect, it, vi } from "vitest";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import type { StoredObject } from "../../../src/store/kubernetes/api-object.ts";
import type { KubernetesStoreOptions } from "../../../src/store/kubernetes/kubernetes-store.ts";
import type { StoreEvent } from "../../../src/store/store.ts";
import { isOf } from "../../conformance/store-scenario.ts";
import { targetOf } from "../../conformance/store-target.ts";
import { cluster } from "./cluster.ts";
import { mapping, runStore, scriptedUses, type StoreRun } from "./store-run.ts";

async function published(name = "storefront", options: Partial<KubernetesStoreOptions> = {}) {
  const uses = scriptedUses();
  const run = await runStore(await cluster(), { uses, ...options });
  const identity = await run.put(name);
  const target = targetOf(identity, "1");
  await run.store.apply(identity, target);
  run.requests();
  return { run, uses, identity, target };
}

const pathTo = ({ namespace }: StoreRun, name = "storefront") =>
  pathOf(resources.meshCertificates, { namespace, name });

async function isGone(run: StoreRun, path = pathTo(run)): Promise<boolean> {
  return (await run.cluster.admin.call("GET", path)).status === 404;
}

/** The next event of the type; what else is reported before it does not matter. */
async function nextOf<T extends StoreEvent["type"]>(
  run: StoreRun,
  type: T,
): Promise<Extract<StoreEvent, { type: T }>> {
  for (;;) {
    const event = await run.events.any();
    if (isOf(event, type)) return event;
  }
}

const withdrawals = ["-TLSContext/storefront", "-Secret/storefront-mesh-cert", "-Secret/storefront-mesh-ca"];

describe("a MeshCertificate that is deleted", () => {
  it("waits for its withdrawal, which lets it go", async () => {
    const { run } = await published();
    await using _ = run;
    await run.cluster.admin.delete(pathTo(run));
    const { identity } = await run.events.next("gone");
    expect(await isGone(run)).toBe(false);
    await run.store.withdraw(identity);
    expect(run.requests()).toEqual([
      "DELETE tlscontexts/storefront",
      "DELETE secrets/storefront-mesh-cert",
      "DELETE secrets/storefront-mesh-ca",
      "PATCH meshcertificates/storefront",
    ]);
    await vi.waitFor(async () => expect(await isGone(run)).toBe(true), 30_000);
  });

  it("goes at once if nothing was published for it", async () => {
    await using run = await runStore(await cluster());
    await run.put("storefront");
    await run.cluster.admin.delete(pathTo(run));
    const { identity } = await run.events.next("gone");
    run.requests();
    await run.store.withdraw(identity);
    expect(run.requests()).toEqual([]);
    expect(await isGone(run)).toBe(true);
  });

  it.each(["background", "foreground", "orphan"])(
    "is kept, rotated and repaired as long as a Mapping names its context (--cascade=%s)",
    async (cascade) => {
      const { run, uses, target } = await published();
      await using _ = run;
      uses.set("storefront", [mapping]);
      expect((await run.events.next("uses")).key).toBe(`${run.namespace}/storefront`);
      const { namespace, cluster: shared } = run;
      await shared.kubectl(
        "-n",
        namespace,
        "delete",
        "meshcert",
        "storefront",
        `--cascade=${cascade}`,
        "--wait=false",
      );
      // With a finalizer of the garbage collector's it changes once more.
      await vi.waitFor(async () => {
        const { metadata } = await shared.admin.get<StoredObject>(pathTo(run));
        expect(metadata.finalizers).toEqual(["attache.attache.dev/published"]);
      }, 30_000);
      const { identity } = await run.events.next("identity");
      expect(identity.metadata.deletionTimestamp).toBeDefined();
      expect(run.store.usesOf(identity)).toEqual([mapping]);
      await expect(run.store.withdraw(identity)).rejects.toThrow("ATTACHE_STORE_IN_USE");
      for (const manifest of target) await run.peer.removeObject(manifest);
      await run.events.next("drift");
      await vi.waitFor(async () => {
        await run.store.apply(identity, targetOf(identity, "2"));
        expect(await run.peer.objects()).toHaveLength(3);
      }, 30_000);
      uses.set("storefront", []);
      await run.store.withdraw((await nextOf(run, "gone")).identity);
      expect(run.peer.changes().slice(-3)).toEqual(withdrawals);
      await vi.waitFor(async () => expect(await isGone(run)).toBe(true), 30_000);
    },
  );

  it("is kept as long as it is not known who uses it", async () => {
    const { run, uses } = await published();
    await using _ = run;
    uses.set("storefront", undefined);
    await run.events.next("uses");
    await run.cluster.admin.delete(pathTo(run));
    const { identity } = await run.events.next("identity");
    await expect(run.store.withdraw(identity)).rejects.toThrow("ATTACHE_STORE_IN_USE");
    uses.set("storefront", []);
    await nextOf(run, "gone");
  });

  it("is withdrawn at once with the annotation that forces it", async () => {
    const { run, uses } = await published();
    await using _ = run;
    uses.set("storefront", [mapping]);
    await run.events.next("uses");
    await run.cluster.admin.delete(pathTo(run));
    await run.events.next("identity");
    await run.cluster.admin.patch(pathTo(run), {
      metadata: { annotations: { "attache.dev/force-delete": "true" } },
    });
    const { identity } = await run.events.next("gone");
    await run.store.withdraw(identity);
    await vi.waitFor(async () => expect(await isGone(run)).toBe(true), 30_000);
    expect(await run.peer.objects()).toEqual([]);
  });

  it("is taken up again when something uses it before it is withdrawn", async () => {
    const { run, uses } = await published();
    await using _ = run;
    await run.cluster.admin.delete(pathTo(run));
    const { identity } = await run.events.next("gone");
    uses.set("storefront", [mapping]);
    await nextOf(run, "identity");
    await expect(run.store.withdraw(identity)).rejects.toThrow("ATTACHE_STORE_IN_USE");
    expect(await run.peer.objects()).toHaveLength(3);
  });

  it("leaves alone what has another owner by then", async () => {
    const { run, identity } = await published();
    await using _ = run;
    const path = pathOf(resources.secrets, { namespace: run.namespace, name: "storefront-mesh-ca" });
    await run.cluster.admin.patch(path, {
      metadata: { annotations: { "attache.dev/installation": "another" } },
    });
    await run.store.withdraw(identity);
    const names = (await run.peer.objects()).map(({ metadata }) => metadata.name);
    expect(names).toEqual(["storefront-mesh-ca"]);
  });
});

describe("a finalizer", () => {
  it("that another client takes off is put on again", async () => {
    const { run, identity, target } = await published();
    await using _ = run;
    await run.cluster.admin.patch(pathTo(run), { metadata: { finalizers: null } });
    expect((await run.events.next("drift")).key).toBe(`${run.namespace}/storefront`);
    await run.store.apply(identity, target);
    expect(run.requests()).toEqual(["PATCH meshcertificates/storefront"]);
  });

  it("leaves those of others alone", async () => {
    const { run } = await published();
    await using _ = run;
    const { admin } = run.cluster;
    await admin.patch(pathTo(run), {
      metadata: { finalizers: ["attache.attache.dev/published", "example.com/theirs"] },
    });
    await admin.delete(pathTo(run));
    await run.store.withdraw((await run.events.next("gone")).identity);
    const { metadata } = await admin.get<StoredObject>(pathTo(run));
    expect(metadata.finalizers).toEqual(["example.com/theirs"]);
    await admin.patch(pathTo(run), { metadata: { finalizers: null } });
    expect(await isGone(run)).toBe(true);
  });

  it("of another installation holds up no other", async () => {
    const { run } = await published();
    await using _ = run;
    const { admin } = run.cluster;
    await admin.patch(pathTo(run), {
      metadata: { finalizers: ["attache.attache.dev/published", "edge.attache.dev/published"] },
    });
    await admin.delete(pathTo(run));
    await run.store.withdraw((await run.events.next("gone")).identity);
    const { metadata } = await admin.get<StoredObject>(pathTo(run));
    expect(metadata.finalizers).toEqual(["edge.attache.dev/published"]);
    await admin.patch(pathTo(run), { metadata: { finalizers: null } });
  });
});

describe("a MeshCertificate whose finalizer another client has taken off", () => {
  async function takenAway(names: readonly object[] = [mapping]) {
    const { run, uses, target } = await published();
    uses.set("storefront", names as never);
    await run.events.next("uses");
    const { kubectl } = run.cluster;
    const patch = JSON.stringify({ metadata: { finalizers: null } });
    await kubectl("-n", run.namespace, "delete", "meshcert", "storefront", "--wait=false");
    await kubectl("-n", run.namespace, "patch", "meshcert", "storefront", "--type=merge", "-p", patch);
    return { run, uses, target };
  }

  it("is kept and reported as long as it is used, and withdrawn then", async () => {
    const { run, uses } = await takenAway();
    await using _ = run;
    await nextOf(run, "invalid");
    uses.set("storefront", []);
    const { identity } = await nextOf(run, "gone");
    await run.store.withdraw(identity);
    expect(await run.peer.objects()).toEqual([]);
  });

  it("leaves what it published to one of its name that comes after it, roots and all", async () => {
    const { run } = await takenAway();
    await using _ = run;
    await run.restart();
    const { error } = await run.events.next("invalid");
    expect(error.code).toBe("ATTACHE_STORE_ORPHANED");
    await run.events.next("synced");
    const again = await run.put("storefront");
    const wanted = targetOf(again, "1");
    expect((await run.store.read(again)).map(({ metadata }) => metadata.name).toSorted()).toEqual([
      "storefront",
      "storefront-mesh-ca",
      "storefront-mesh-cert",
    ]);
    run.requests();
    expect(await run.store.apply(again, wanted)).toEqual({ writes: 3 });
    expect(run.requests().filter((request) => !request.startsWith("PATCH"))).toEqual([]);
  });

  it("is withdrawn after a restart where nothing uses it", async () => {
    const { run, uses } = await takenAway();
    await using _ = run;
    uses.set("storefront", []);
    await run.restart();
    const { identity } = await run.events.next("gone");
    await run.events.next("synced");
    await run.store.withdraw(identity);
    expect(await run.peer.objects()).toEqual([]);
  });
});

describe.concurrent("a namespace that is deleted", () => {
  it.each([
    ["although what was in it is used elsewhere", [mapping], 0],
    ["although its deletion has just begun", [], 600_000],
  ])("goes, %s", async (_what, names, deletionGraceMs) => {
    const { run, uses, ...first } = await published("storefront", { deletionGraceMs });
    await using _ = run;
    uses.set("storefront", names);
    const deleted = run.cluster.kubectl("delete", "namespace", run.namespace, "--timeout=60s");
    let { identity } = first;
    for (let version = 2; ; version += 1) {
      const event = await run.events.any();
      if (event.type === "gone") break;
      if (event.type === "identity") ({ identity } = event);
      // Its objects are deleted, and cannot be made again.
      await run.store.apply(identity, targetOf(identity, `${version}`)).catch(() => undefined);
    }
    await run.store.withdraw(identity);
    await deleted;
  });

  it("goes while attaché does not run, once the finalizers are taken off by hand", async () => {
    const { run } = await published();
    await using _ = run;
    const { kubectl } = run.cluster;
    await run.stop();
    const deleted = kubectl("delete", "namespace", run.namespace, "--timeout=60s");
    await vi.waitFor(async () => {
      const { metadata } = await run.cluster.admin.get<StoredObject>(pathTo(run));
      expect(metadata.deletionTimestamp).toBeDefined();
    }, 60_000);
    await kubectl(
      "-n",
      run.namespace,
      "patch",
      "meshcert",
      "storefront",
      "--type=merge",
      "-p",
      '{"metadata":{"finalizers":null}}',
    );
    await deleted;
  });
});

describe("a target of other names", () => {
  it("keeps the old context as long as a Mapping names it, and lets it say the same as the new", async () => {
    const { run, uses } = await published();
    await using _ = run;
    uses.set("storefront", [mapping]);
    await run.events.next("uses");
    const renamed = await run.put("storefront", {
      target: { secret: "b-mesh-cert", caSecret: "b-mesh-ca", tlsContext: { name: "b" } },
    });
    const target = targetOf(renamed, "1");
    expect(await run.store.apply(renamed, target)).toEqual({ writes: 4 });
    const objects = await run.peer.objects();
    expect(objects.map(({ metadata }) => metadata.name).toSorted()).toEqual([
      "b",
      "b-mesh-ca",
      "b-mesh-cert",
      "storefront",
    ]);
    const contexts = objects.filter((object) => object.kind === "TLSContext");
    expect(new Set(contexts.map(({ spec }) => spec.secret))).toEqual(new Set(["b-mesh-cert"]));
    expect(run.store.usesOf(renamed)).toEqual([mapping]);
    uses.set("storefront", []);
    await run.events.next("uses");
    expect(await run.store.apply(renamed, target)).toEqual({ writes: 0 });
    expect(run.peer.changes().at(-1)).toBe("-TLSContext/storefront");
  });
});
