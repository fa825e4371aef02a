import { describe, expect, it, vi } from "vitest";
import { fakeUri } from "../../test/fixtures/fake-mesh.ts";
import { identity } from "../../test/fixtures/identity.ts";
import { createMemoryStore } from "../../test/fixtures/memory-store.ts";
import { createLeaf, createRoot } from "../../test/fixtures/pki.ts";
import { startReconciliation } from "../../test/fixtures/reconciliation.ts";
import type { Credential } from "../credentials/credential.ts";
import type { Severity } from "../emissary/exposure.ts";
import { Semaphore } from "../runtime/semaphore.ts";
import { MeshError } from "../mesh/errors.ts";
import { StoreError } from "../store/store.ts";

const inOrder = ["Secret/storefront-mesh-ca", "Secret/storefront-mesh-cert", "TLSContext/storefront"];

/** A self-made credential for `service`, of a CA that the fake mesh does not know. */
async function foreign(service: string, terms: Parameters<typeof createLeaf>[1] = {}): Promise<Credential> {
  const root = await createRoot();
  const leaf = await createLeaf(root, { uris: [fakeUri(service)], ...terms });
  return { key: leaf.key, chain: [leaf.certificate], bundle: [root.certificate] };
}

describe("an identity that appears", () => {
  it("is published: CA Secret, leaf Secret, TLSContext, in this order", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    expect(run.store.writes).toEqual(inOrder);
    expect(run.status()).toMatchObject({ spiffeId: fakeUri("storefront"), trustDomain: "fake.example" });
    expect(run.observed.published).toMatchObject([{ mesh: "consul", cause: "initial" }]);
  });

  it("costs one status where its mesh answers at once", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    const { statusWrites } = run.store;
    run.store.put(identity("payments"));
    await run.until("Ready", "True/Valid", "payments");
    expect(run.store.statusWrites).toBe(statusWrites + 1);
  });

  it("costs one status although others are answered first, and its mesh takes seconds for all of them", async () => {
    const count = 80;
    const signing = new Semaphore(1);
    const [asked, signed] = [new Set<object>(), new Set<object>()];
    await using run = await startReconciliation({
      signs: true,
      async *watch(sound, { signal }) {
        for await (const credential of sound()) {
          using _turn = await signing.acquire(signal);
          asked.add(credential);
          await run.clock.sleep(100, signal);
          signed.add(credential);
          yield credential;
        }
      },
    });
    run.store.beforeWrite = () => run.clock.sleep(20, new AbortController().signal);
    const names = Array.from({ length: count }, (_, index) => `svc-${index}`);
    for (const name of names) run.store.put(identity(name));
    await vi.waitFor(
      async () => {
        // Keys are made on other threads, which the clock does not wait for.
        if (asked.size > signed.size || signed.size === count) await run.clock.advance(100);
        expect(run.observed.published).toHaveLength(count);
      },
      { interval: 1 },
    );
    for (const name of names) await run.until("Ready", "True/Valid", name);
    expect(run.store.statusWrites).toBe(count);
    expect(run.clock.elapsedMs()).toBeGreaterThan(5_000);
  });

  it("is said to be waited for where its mesh takes longer", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.mesh.stop();
    run.store.put(identity("payments"));
    await vi.waitFor(async () => {
      await run.clock.advance(1_000);
      expect(run.status("payments")?.conditions[0]).toMatchObject({ type: "Ready", status: "False" });
    });
  });

  it("has a reason of its own when its mesh is not configured", async () => {
    await using run = await startReconciliation();
    run.store.put(identity("storefront", { mesh: "consul-dc2" }));
    await run.until("SourceReady", "False/Unknown");
    expect(JSON.stringify(run.status())).toContain("name one of: consul");
  });

  it("waits for its turn while 32 others are worked on, and for no other limit", async () => {
    await using run = await startReconciliation();
    const hang = Promise.withResolvers<undefined>();
    let waiting = 0;
    run.store.beforeWrite = () => {
      waiting += 1;
      return hang.promise.then(() => undefined);
    };
    const names = Array.from({ length: 40 }, (_, index) => `svc-${index}`);
    for (const name of names) run.store.put(identity(name));
    await expect.poll(() => waiting).toBe(32);
    await run.clock.advance(1_000);
    expect(waiting).toBe(32);
    hang.resolve(undefined);
    for (const name of names) await run.until("Ready", "True/Valid", name);
    expect(waiting).toBe(3 * names.length);
  });

  it("is not held up by another one whose store write hangs", async () => {
    await using run = await startReconciliation();
    const hang = Promise.withResolvers<undefined>();
    run.store.beforeWrite = ({ metadata }) => {
      return metadata.name.startsWith("stuck") ? hang.promise.then(() => undefined) : undefined;
    };
    run.store.put(identity("stuck"));
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    hang.resolve(undefined);
    await run.until("Ready", "True/Valid", "stuck");
  });
});

describe("a rotation", () => {
  it("of the leaf writes the leaf Secret and nothing else", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.mesh.rotate();
    await vi.waitFor(() => expect(run.store.writes.slice(3)).toEqual(["Secret/storefront-mesh-cert"]));
    await vi.waitFor(() => expect(run.observed.published.at(-1)?.cause).toBe("leaf"));
  });

  it("of the root publishes the union of roots before the new leaf", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.store.writes.slice(3)).toEqual(inOrder.slice(0, 2)));
    await vi.waitFor(() => expect(run.status()?.roots).toHaveLength(2));
    expect(run.observed.published.at(-1)?.cause).toBe("both");
  });

  it(
    "keeps a root that the mesh has dropped until it retires, also through a restart",
    { tags: ["dates"] },
    async () => {
      await using run = await startReconciliation({ retainMs: 3_600_000 });
      run.store.put(identity());
      await run.until("Ready", "True/Valid");
      await run.mesh.rotateRoot();
      await vi.waitFor(() => expect(run.status()?.roots).toHaveLength(2));
      await run.mesh.dropOldRoots();
      await vi.waitFor(() =>
        expect(run.status()?.roots?.map(({ state }) => state)).toEqual(["active", "retiring"]),
      );
      await run.restart();
      await run.clock.sleeping(1);
      expect(run.status()?.roots).toHaveLength(2);
      await run.clock.advance(3_600_000);
      await vi.waitFor(() => expect(run.status()?.roots?.map(({ state }) => state)).toEqual(["active"]));
    },
  );

  it("that comes in a burst is coalesced to the newest, with one apply in flight", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    const hang = Promise.withResolvers<undefined>();
    run.store.beforeWrite = () => hang.promise.then(() => undefined);
    for (let rotations = 0; rotations < 5; rotations += 1) await run.mesh.rotate();
    hang.resolve(undefined);
    const newest = run.mesh.issued;
    await vi.waitFor(() => expect(run.observed.published.length).toBeGreaterThan(1));
    await run.mesh.rotate();
    await vi.waitFor(() => expect(run.observed.published.at(-1)?.cause).toBe("leaf"));
    expect(newest).toBe(6);
    expect(run.observed.published.length).toBeLessThanOrEqual(4);
  });
});

describe("a credential that fails a policy", () => {
  it("is counted and reported once, and the last good one stays", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    const wrong = { ...(await foreign("storefront")), key: (await foreign("storefront")).key };
    run.mesh.emit("storefront", wrong);
    await run.until("SourceReady", "False/Rejected");
    run.mesh.emit("storefront", { ...wrong });
    run.store.drift("emissary/storefront");
    await run.until("Ready", "True/Valid");
    expect(run.store.writes).toEqual(inOrder);
    expect(run.observed.rejected).toEqual([{ mesh: "consul", policy: "key-matches-leaf" }]);
    await run.mesh.rotate();
    await run.until("SourceReady", "True/Received");
  });

  it("because it is for another identity is not published", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    run.mesh.emit("storefront", await foreign("billing"));
    await run.until("SourceReady", "False/Rejected");
    expect(run.observed.rejected).toEqual([{ mesh: "consul", policy: "identity-is-expected" }]);
    expect(run.store.writes).toEqual(inOrder);
  });

  it("because it is not valid yet is published once it is", { tags: ["dates"] }, async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    const notBefore = new Date(run.clock.now().getTime() + 600_000);
    run.mesh.emit("storefront", await foreign("storefront", { notBefore }));
    await run.until("SourceReady", "False/Rejected");
    await run.clock.advance(600_000);
    await run.until("SourceReady", "True/Received");
    await vi.waitFor(() => expect(run.status()?.notBefore).toBe(notBefore.toISOString()));
  });
});

describe("a mesh that fails", () => {
  it("is reported in SourceReady, with its remedy, while what is published stays Ready", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.mesh.stop();
    await run.until("SourceReady", "False/Unreachable");
    await run.until("Ready", "True/Valid");
    await run.mesh.resume();
    await run.until("SourceReady", "True/Received");
  });

  it("that refuses one identity is asked again after a back-off", async () => {
    await using run = await startReconciliation();
    await run.mesh.refuse("storefront", new MeshError("ATTACHE_MESH_FORBIDDEN", "no service:write"));
    run.store.put(identity());
    run.store.put(identity("billing"));
    await run.until("SourceReady", "False/Forbidden");
    await run.until("Ready", "True/Valid", "billing");
    await run.mesh.allow("storefront");
    await vi.waitFor(async () => {
      await run.clock.advance(30_000);
      expect(run.status()?.conditions[0]?.status).toBe("True");
    }, 5_000);
    const answer = (code: string) => ({ mesh: "consul", code, ms: expect.any(Number) as number });
    for (const code of ["ATTACHE_MESH_FORBIDDEN", "OK"])
      expect(run.observed.meshRequest).toContainEqual(answer(code));
  });

  it("that is no mesh's fault is reported as a bug in attaché", async () => {
    await using run = await startReconciliation();
    await run.mesh.refuse("storefront", new TypeError("x is not a function"));
    run.store.put(identity());
    await run.until("SourceReady", "Unknown/InternalError");
    expect(run.logged.join("")).toContain('"level":"error"');
  });

  it("lets a leaf expire, which Ready then tells", { tags: ["dates"] }, async () => {
    await using run = await startReconciliation({ leafLifetimeMs: 60_000 });
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.clock.sleeping(1);
    await run.clock.advance(61_000);
    await run.until("Ready", "False/Expired");
    expect(run.store.objects.size).toBe(3);
  });
});

describe("a clock that steps", { tags: ["dates"] }, () => {
  it("forwards leaves what is published as it is", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    run.clock.set(new Date(run.clock.now().getTime() + 1_800_000));
    run.store.drift("emissary/storefront");
    await run.mesh.rotate();
    await vi.waitFor(() => expect(run.observed.published.at(-1)?.cause).toBe("leaf"));
    expect(run.store.writes).toEqual([...inOrder, "Secret/storefront-mesh-cert"]);
  });

  it("backwards keeps the last good one, and takes the newer once it is set right", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    const right = run.clock.now();
    run.clock.set(new Date(right.getTime() - 86_400_000));
    run.mesh.emit("storefront", await foreign("storefront", { notBefore: right }));
    await run.until("SourceReady", "False/Rejected");
    expect(run.store.writes).toEqual(inOrder);
    run.clock.set(right);
    await run.clock.advance(120_000);
    await run.until("SourceReady", "True/Received");
    expect(run.store.writes.slice(3)).toEqual(inOrder.slice(0, 2));
  });

  it("forwards for a while loses no credential that came meanwhile", async () => {
    await using run = await startReconciliation({ leafLifetimeMs: 3_600_000 });
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    const right = run.clock.now();
    const notAfter = new Date(right.getTime() + 3_600_000);
    run.clock.set(new Date(right.getTime() + 86_400_000));
    run.mesh.emit("storefront", await foreign("storefront", { notBefore: right, notAfter }));
    await run.until("SourceReady", "False/Rejected");
    await run.until("Ready", "False/Expired");
    await run.clock.advance(600_000);
    expect(run.observed.rejected).toHaveLength(1);
    run.clock.set(right);
    await run.clock.advance(120_000);
    await run.until("SourceReady", "True/Received");
    await run.until("Ready", "True/Valid");
    expect(run.store.writes.slice(3)).toEqual(inOrder.slice(0, 2));
  });

  it("far, at a restart without the mesh, makes nothing of what is published bad for good", async () => {
    await using run = await startReconciliation({ rootLifetimeMs: 86_400_000 });
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.mesh.refuse("storefront", new MeshError("ATTACHE_MESH_UNREACHABLE", "gone"));
    const right = run.clock.now();
    run.clock.set(new Date(right.getTime() + 2 * 86_400_000));
    await run.restart();
    await run.until("Ready", "False/NotAdmitted");
    run.clock.set(right);
    run.store.objects.delete("emissary/Secret/storefront-mesh-ca");
    await run.clock.advance(60_000);
    await run.until("Ready", "True/Valid");
    expect(run.store.writes.slice(3)).toEqual(["Secret/storefront-mesh-ca"]);
  });

  it("backwards does not put off what was to be tried again", async () => {
    await using run = await startReconciliation();
    let isFull = true;
    run.store.beforeWrite = () => {
      if (isFull) throw new StoreError("ATTACHE_STORE_UNWRITABLE", "no space left");
    };
    run.store.put(identity());
    await run.until("Published", "False/Unwritable");
    run.clock.set(new Date(run.clock.now().getTime() - 3_600_000));
    isFull = false;
    await run.clock.advance(60_000);
    await run.until("Published", "True/Published");
  });
});

describe("a store that fails", () => {
  it.each(inOrder)("that fails at %s is tried again, and completes in order", async (failing) => {
    await using run = await startReconciliation();
    let failures = 0;
    run.store.beforeWrite = ({ kind, metadata }) => {
      if (`${kind}/${metadata.name}` === failing && failures++ === 0) {
        throw new StoreError("ATTACHE_STORE_UNWRITABLE", "no space left");
      }
    };
    run.store.put(identity());
    await run.until("Published", "False/Unwritable");
    await vi.waitFor(async () => {
      await run.clock.advance(1_000);
      expect(run.status()?.conditions[0]?.status).toBe("True");
    }, 5_000);
    expect(run.store.writes).toEqual(inOrder);
    expect(run.observed.storeError).toEqual(["ATTACHE_STORE_UNWRITABLE"]);
  });

  it("in which another client undoes what is published names that client, and holds up nothing", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    run.store.problem = new StoreError("ATTACHE_STORE_CONTENTION", '"helm" keeps changing it');
    run.store.drift("emissary/storefront");
    await run.until("Published", "False/Contention");
    await run.mesh.rotate();
    await vi.waitFor(() => expect(run.observed.published.at(-1)?.cause).toBe("leaf"));
    run.store.problem = undefined;
    run.store.drift("emissary/storefront");
    await run.until("Published", "True/Published");
  });

  it("that loses an object gets it back", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    run.store.objects.delete("emissary/Secret/storefront-mesh-cert");
    run.store.drift("emissary/storefront");
    await vi.waitFor(() => expect(run.store.objects.size).toBe(3));
    expect(run.store.writes.slice(3)).toEqual(["Secret/storefront-mesh-cert"]);
  });
});

describe("a restart", () => {
  it("asks for no new leaf and writes nothing, no status either", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("SourceReady", "True/Received");
    await run.until("Ready", "True/Valid");
    const { issued } = run.mesh;
    const { statusWrites } = run.store;
    await run.restart();
    await vi.waitFor(() => expect(run.observed.applied.length).toBeGreaterThan(2));
    await run.clock.advance(120_000);
    expect(run.mesh.issued).toBe(issued);
    expect(run.store.writes).toEqual(inOrder);
    expect(run.store.statusWrites).toBe(statusWrites);
  });

  it("writes nothing while a root retires that comes before one that stays", async () => {
    await using run = await startReconciliation({ retainMs: 48 * 3_600_000 });
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.mesh.rotateRoot();
    const { authority } = run.mesh;
    const [middle] = authority.roots().filter(({ active }) => active);
    await run.mesh.rotateRoot();
    authority.dropRoot(middle?.certificate.fingerprint ?? "");
    await run.mesh.rotate();
    const states = () => run.status()?.roots?.map(({ state }) => state);
    await vi.waitFor(() => expect(states()).toEqual(["active", "retiring", "active"]));
    const writes = run.store.writes.length;
    const applied = run.observed.applied.length;
    await run.restart();
    await vi.waitFor(() => expect(run.observed.applied.length).toBeGreaterThan(applied));
    expect(run.store.writes.slice(writes)).toEqual([]);
    expect(states()).toEqual(["active", "retiring", "active"]);
  });

  it("while the mesh is unreachable goes on repairing what is published", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.mesh.stop();
    await run.mesh.refuse("storefront", new MeshError("ATTACHE_MESH_UNREACHABLE", "gone"));
    await run.restart();
    run.store.objects.delete("emissary/TLSContext/storefront");
    run.store.drift("emissary/storefront");
    await vi.waitFor(() => expect(run.store.objects.size).toBe(3));
  });
});

describe("an identity that changes", () => {
  it("to another service gets the credential of that service, under the same names", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    run.store.put(identity("storefront", { consul: { service: "billing" } }));
    await vi.waitFor(() => expect(run.status()?.spiffeId).toBe(fakeUri("billing")));
    expect(run.store.writes.slice(3)).toEqual(["Secret/storefront-mesh-cert"]);
    expect(run.status()?.observedGeneration).toBe(2);
  });

  it("to a service that the mesh refuses is not ready, and keeps what is published", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.mesh.refuse("billing", new MeshError("ATTACHE_MESH_FORBIDDEN", "no service:write"));
    run.store.put(identity("storefront", { consul: { service: "billing" } }));
    await run.until("SourceReady", "False/Forbidden");
    await run.until("Ready", "False/NotAdmitted");
    expect(run.store.writes).toEqual(inOrder);
    await run.mesh.allow("billing");
    await vi.waitFor(async () => {
      await run.clock.advance(30_000);
      expect(run.status()?.conditions[0]).toMatchObject({ type: "Ready", status: "True" });
    }, 5_000);
  });

  it("in its target's names is published before the old target is withdrawn", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    run.store.put(identity("storefront", { target: { secret: "other" } }));
    await vi.waitFor(() => expect([...run.store.objects.keys()]).toContain("emissary/Secret/other"));
    await vi.waitFor(() => expect(run.store.objects.size).toBe(3));
    expect(run.mesh.issued).toBe(1);
  });
});

describe("an identity that is in use", () => {
  const mappings = Array.from({ length: 60 }, (_, index) => ({
    kind: "Mapping",
    namespace: "shop",
    name: `m${index}`,
  }));

  it("says by whom, a bounded list and their count", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    run.store.use("emissary/storefront", mappings);
    await vi.waitFor(() => expect(run.status()).toMatchObject({ usedByCount: 60 }));
    expect(run.status()?.usedBy).toEqual(mappings.slice(0, 50));
  });

  it("says who is exposed all the same, and the worst of it is the reason", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    run.store.use("emissary/storefront", mappings.slice(0, 1));
    await run.until("Protected", "True/Protected");
    const use = (index: number, exposure: Severity) => ({
      ...{ kind: "Mapping", namespace: "shop", name: `m${index}` },
      exposure,
    });
    run.store.use("emissary/storefront", [use(0, "unverified"), use(1, "plaintext"), use(2, "anonymous")]);
    await run.until("Protected", "False/Plaintext");
    const condition = run.status()?.conditions.find(({ type }) => type === "Protected");
    expect(condition?.message).toContain("in plaintext: Mapping shop/m1. See");
    expect(run.status()?.usedBy?.[2]).toMatchObject({ exposure: "anonymous" });
    run.store.use("emissary/storefront", []);
    await vi.waitFor(() =>
      expect(run.status()?.conditions.map(({ type }) => type)).not.toContain("Protected"),
    );
  });

  it("goes on rotating while it is being deleted, and is withdrawn with its last use", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    run.store.use("emissary/storefront", mappings.slice(0, 2));
    await run.until("Ready", "True/Valid");
    run.store.delete("emissary/storefront");
    await run.until("Terminating", "True/InUse");
    const terminating = run.status()?.conditions.find(({ type }) => type === "Terminating");
    expect(terminating?.message).toContain("In use by Mapping shop/m0, Mapping shop/m1: attaché keeps it");
    await run.mesh.rotate();
    await vi.waitFor(() => expect(run.store.writes.slice(3)).toEqual(["Secret/storefront-mesh-cert"]));
    run.store.use("emissary/storefront", []);
    await vi.waitFor(() => expect(run.store.objects.size).toBe(0));
    expect(run.mesh.issued).toBe(2);
  });
});

describe("an identity of another installation", () => {
  const mine = { installation: "edge", isStoreShared: true };

  it.each([
    ["that it names", { installation: "other" }],
    ["that has its mesh configured", { mesh: "consul-dc2" }],
  ])("%s is left alone", async (_, spec) => {
    await using run = await startReconciliation(mine);
    run.store.put(identity("storefront", spec));
    run.store.put(identity("billing", { installation: "edge" }));
    run.store.put(identity("shop"));
    await run.until("Ready", "True/Valid", "billing");
    await run.until("Ready", "True/Valid", "shop");
    expect([...run.store.statuses.keys()].toSorted()).toEqual(["emissary/billing", "emissary/shop"]);
    expect(run.store.writes.filter((write) => write.includes("storefront"))).toEqual([]);
  });

  it("keeps what was published before it was handed over, and hears no more of us", async () => {
    await using run = await startReconciliation(mine);
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    run.store.put(identity("storefront", { installation: "other" }));
    await vi.waitFor(() => expect(run.controller.reconcilers).toEqual([]));
    await run.mesh.rotate();
    run.store.drift("emissary/storefront");
    expect(run.store.writes).toEqual(inOrder);
    expect(run.status()?.observedGeneration).toBe(1);
  });
});

describe("an identity that only gets other metadata", () => {
  it("keeps its reconciler and its watch, and costs no write", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    const [reconciler] = run.controller.reconcilers;
    const { statusWrites } = run.store;
    run.store.annotate("emissary/storefront", { "example.org/owner": "shop" });
    await vi.waitFor(() => expect(reconciler?.identity.metadata.annotations).toBeDefined());
    await vi.waitFor(() => expect(run.observed.applied.at(-1)).toBe(0));
    expect(run.controller.reconcilers).toEqual([reconciler]);
    expect(run.store.statusWrites).toBe(statusWrites);
  });
});

describe("an identity that was deleted and created again", () => {
  it("is not withdrawn by the end of the one before", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    const { metadata, ...rest } = identity("storefront", {
      target: { secret: "other", caSecret: "other-ca", tlsContext: { name: "other" } },
    });
    run.store.put({ ...rest, metadata: { ...metadata, uid: "another" } });
    await vi.waitFor(() => expect(run.store.objects.size).toBe(6));
    run.store.gone(identity());
    await vi.waitFor(() =>
      expect([...run.store.objects.values()].map(({ metadata: { name } }) => name)).toEqual([
        "other-ca",
        "other",
        "other",
      ]),
    );
    expect(run.controller.reconcilers).toHaveLength(1);
  });
});

describe("an identity that is removed", () => {
  it("is withdrawn", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    run.store.remove("emissary/storefront");
    await vi.waitFor(() => expect(run.store.objects.size).toBe(0));
    await vi.waitFor(() => expect(run.controller.reconcilers).toEqual([]));
  });

  it("while its first write is in flight leaves nothing behind", async () => {
    await using run = await startReconciliation();
    const begun = Promise.withResolvers<undefined>();
    const hang = Promise.withResolvers<undefined>();
    run.store.beforeWrite = async () => {
      begun.resolve(undefined);
      await hang.promise;
    };
    run.store.put(identity());
    await begun.promise;
    run.store.remove("emissary/storefront");
    hang.resolve(undefined);
    await vi.waitFor(() => expect(run.controller.reconcilers).toEqual([]));
    await vi.waitFor(() => expect(run.store.objects.size).toBe(0));
  });
});

describe("the end", () => {
  it("waits for a publication that is under way", async () => {
    const store = createMemoryStore();
    const hang = Promise.withResolvers<undefined>();
    const begun = Promise.withResolvers<undefined>();
    const run = await startReconciliation({ store });
    store.beforeWrite = async () => {
      begun.resolve(undefined);
      await hang.promise;
    };
    store.put(identity());
    await begun.promise;
    const ended = run[Symbol.asyncDispose]();
    hang.resolve(undefined);
    await ended;
    expect(store.writes).toEqual(inOrder);
  });

  it("prints no key anywhere", async () => {
    await using run = await startReconciliation();
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.mesh.rotate();
    await vi.waitFor(() => expect(run.observed.published).toHaveLength(2));
    const printed = [...run.logged, JSON.stringify([...run.store.statuses.values()])].join("\n");
    expect(printed).not.toMatch(/PRIVATE KEY|MIGHAgEA/);
    expect(printed).toContain("storefront");
  });
});
