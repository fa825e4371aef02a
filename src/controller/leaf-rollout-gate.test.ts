import type { KeyObject } from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import { identity } from "../../test/fixtures/identity.ts";
import { type Reconciliation, startReconciliation } from "../../test/fixtures/reconciliation.ts";
import { fakeUri } from "../../test/fixtures/fake-mesh.ts";
import type { IdentityKey } from "../api/mesh-certificate.ts";
import type { Certificate } from "../credentials/certificate.ts";
import { privateKeyPem } from "../credentials/keys.ts";
import type { Expected, Ingress, Served } from "../ingress/ingress.ts";
import { readBack } from "../render/read-back.ts";

const union = ["Secret/storefront-mesh-ca"];
const leaf = ["Secret/storefront-mesh-cert"];
const use = { kind: "Mapping", namespace: "emissary", name: "shop" };

/** An ingress that says what the test has it say; whatever is written it has yet to take. */
function fakeIngress(): Ingress & { say(served: Partial<Served>): void; readonly expected: Expected[] } {
  const listeners = new Set<(key: IdentityKey) => void>();
  const expected: Expected[] = [];
  let served: Served = { status: "True", reason: "Served", message: "", isPending: false };
  const say = (said: Partial<Served>) => {
    served = { ...served, ...said };
    for (const listener of listeners) listener("emissary/storefront");
  };
  return {
    forget: () => undefined,
    [Symbol.asyncDispose]: () => Promise.resolve(),
    expected,
    say,
    expect(_identity, target) {
      expected.push(target);
      if (target.isWritten && served.status === "True") say({ status: "False", isPending: true });
    },
    servedOf: () => served,
    onChange(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
}

async function started(
  options: Parameters<typeof startReconciliation>[0] = {},
): Promise<Reconciliation & { readonly ingress: ReturnType<typeof fakeIngress>; since(): string[] }> {
  const ingress = fakeIngress();
  const run = await startReconciliation({ ingress, ...options });
  run.store.put(identity());
  run.store.use("emissary/storefront", [use]);
  await run.until("Ready", "True/Valid");
  // A process that has just begun takes it that the roots are new.
  await run.clock.advance(60_000);
  ingress.say({ status: "True", isPending: false });
  const { length } = run.store.writes;
  return Object.assign(run, { ingress, since: () => run.store.writes.slice(length) });
}

describe("a new leaf of a new root", () => {
  it("follows once the ingress has taken the union of roots", async () => {
    await using run = await started();
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.status()?.roots).toHaveLength(2));
    await run.clock.advance(3_000);
    expect(run.since()).toEqual(union);
    run.ingress.say({ status: "True", isPending: false });
    await vi.waitFor(() => expect(run.since()).toEqual([...union, ...leaf]));
    await vi.waitFor(() => expect(run.observed.published.at(-1)?.cause).toBe("leaf"));
    expect(run.observed.published.slice(-2)).toMatchObject([
      { cause: "root", propagationMs: 0 },
      { cause: "leaf", propagationMs: 3_000 },
    ]);
  });

  it("waits also when it comes some time after its root", async () => {
    await using run = await started();
    const before = await credentialOf(run);
    await run.mesh.authority.rotateRoot();
    run.mesh.emit("storefront", { ...before, bundle: rootsOf(run) });
    await vi.waitFor(() => expect(run.since()).toEqual(union));
    await run.clock.advance(2_000);
    await run.mesh.rotate();
    await run.clock.advance(7_999);
    expect(run.since()).toEqual(union);
    await run.clock.advance(1);
    await vi.waitFor(() => expect(run.since()).toEqual([...union, ...leaf]));
  });

  it("waits for ten seconds at most", async () => {
    await using run = await started();
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.since()).toEqual(union));
    await run.clock.advance(9_999);
    expect(run.since()).toEqual(union);
    await run.clock.advance(1);
    await vi.waitFor(() => expect(run.since()).toEqual([...union, ...leaf]));
  });

  it("waits no longer where its status cannot be written", async () => {
    await using run = await started();
    const refused = Object.assign(new Error("there is no right to do that"), { retryable: false });
    vi.spyOn(run.store, "report").mockRejectedValue(refused);
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.since()).toEqual(union));
    await run.clock.advance(10_000);
    await vi.waitFor(() => expect(run.since()).toEqual([...union, ...leaf]));
  });

  it("waits for a twentieth of the life that is left at most", { tags: ["dates"] }, async () => {
    await using run = await started({ leafLifetimeMs: 160_000 });
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.since()).toEqual(union));
    await run.clock.advance(4_700);
    expect(run.since()).toEqual(union);
    await run.clock.advance(300);
    await vi.waitFor(() => expect(run.since()).toEqual([...union, ...leaf]));
  });

  it.each([
    ["unknown, dead or frozen", { status: "Unknown", isPending: false }],
    ["of another mind for good", { status: "False", isPending: false }],
  ] as const)("does not wait for a pod that is %s", async (_, said) => {
    await using run = await started();
    run.ingress.say(said);
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.since()).toEqual([...union, ...leaf]));
    await vi.waitFor(() => expect(run.observed.published.at(-1)?.propagationMs).toBe(0));
  });

  it("waits no longer when the ingress turns out to be none that answers", async () => {
    await using run = await started();
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.since()).toEqual(union));
    run.ingress.say({ status: "Unknown", isPending: false });
    await vi.waitFor(() => expect(run.since()).toEqual([...union, ...leaf]));
  });

  it("goes along where nothing uses the identity, and where there is no ingress", async () => {
    for (const ingress of [fakeIngress(), undefined]) {
      await using run = await startReconciliation({ ingress });
      run.store.put(identity());
      await run.until("Ready", "True/Valid");
      await run.mesh.rotateRoot();
      await vi.waitFor(() => expect(run.store.writes.slice(3)).toEqual([...union, ...leaf]));
      await vi.waitFor(() => expect(run.observed.published.at(-1)?.cause).toBe("both"));
    }
  });

  it("waits with a successor as well, who does not know when the roots came", async () => {
    await using run = await started();
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.since()).toEqual(union));
    await run.restart();
    await vi.waitFor(() => expect(run.controller.reconcilers[0]?.hasLooked).toBe(true));
    await run.clock.advance(1_000);
    expect(run.since()).toEqual(union);
    run.ingress.say({ status: "True", isPending: false });
    await vi.waitFor(() => expect(run.since()).toEqual([...union, ...leaf]));
  });
});

describe("a new leaf of a root that is known", () => {
  it("waits for nothing, whatever the ingress has yet to take", async () => {
    await using run = await started();
    run.ingress.say({ status: "False", isPending: true });
    await run.mesh.rotate();
    await vi.waitFor(() => expect(run.since()).toEqual(leaf));
  });

  it("goes in the first round, however the time passes within that", async () => {
    await using run = await started();
    let elapsedMs = run.clock.elapsedMs();
    vi.spyOn(run.clock, "elapsedMs").mockImplementation(() => (elapsedMs += 0.01));
    await run.mesh.rotate();
    await vi.waitFor(() => expect(run.since()).toEqual(leaf));
  });
});

describe("of the roots", () => {
  it("a new one comes first, so that it is seen when the ingress has it", async () => {
    await using run = await started();
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.since()).toEqual(union));
    const active = run.mesh.authority.roots().find((root) => root.active)?.certificate;
    expect(run.ingress.expected.at(-1)?.rootNotAfter).toEqual(active?.notAfter);
    expect(run.status()?.roots?.[0]?.fingerprint).toBe(active?.fingerprint);
  });
});

async function credentialOf(run: Reconciliation) {
  const [reconciler] = run.controller.reconcilers;
  const manifests = await run.store.read(reconciler?.identity ?? identity());
  const { credential } = await readBack(identity(), manifests, run.clock.now());
  return credential ?? expect.unreachable();
}

function rootsOf({ mesh }: Reconciliation) {
  return mesh.authority.roots().map(({ certificate }) => certificate);
}

describe("a leaf that another writer puts in place of the published one", () => {
  const key = "emissary/Secret/storefront-mesh-cert";

  /** As a former leader does it late. */
  function put({ store }: Reconciliation, certificates: readonly Certificate[], privateKey: KeyObject): void {
    const before = store.objects.get(key);
    if (before?.kind !== "Secret") throw new Error("there is no leaf Secret");
    const pem = certificates.map((one) => one.toPem()).join("");
    const data = { "tls.crt": btoa(pem), "tls.key": btoa(privateKeyPem(privateKey)) };
    store.objects.set(key, { ...before, data: { ...before.data, ...data } });
    store.drift("emissary/storefront");
  }

  async function issue(run: Reconciliation, service = "storefront") {
    const issued = await run.mesh.authority.issue({ uri: fakeUri(service) });
    await run.clock.advance(2_000);
    return issued;
  }

  it("stays where it is newer and the newest has to wait, which follows in its time", async () => {
    await using run = await started();
    const { chain, key: privateKey } = await issue(run);
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.since()).toEqual(union));
    put(run, chain, privateKey);
    await run.until("Ready", "True/Valid");
    await vi.waitFor(() => expect(run.status()?.serialNumber).toBe(chain[0].serialNumber));
    expect(run.since()).toEqual(union);
    run.ingress.say({ status: "True", isPending: false });
    await vi.waitFor(() => expect(run.since()).toEqual([...union, ...leaf]));
    await vi.waitFor(() => expect(run.status()?.serialNumber).not.toBe(chain[0].serialNumber));
  });

  it("stays where it is newer and the mesh has not answered yet", async () => {
    await using run = await started();
    const { chain, key: privateKey } = await issue(run);
    await run.mesh.refuse("storefront", new Error("not now"));
    const { length } = run.ingress.expected;
    await run.restart();
    await vi.waitFor(() => expect(run.ingress.expected.length).toBeGreaterThan(length));
    put(run, chain, privateKey);
    await vi.waitFor(() => expect(run.status()?.serialNumber).toBe(chain[0].serialNumber));
    expect(run.since()).toEqual([]);
  });

  it("is replaced where it would not be admitted", async () => {
    await using run = await started();
    const { chain, key: privateKey } = await issue(run, "billing");
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.since()).toEqual(union));
    const { serialNumber } = run.status() ?? {};
    put(run, chain, privateKey);
    await vi.waitFor(() => expect(run.since()).toEqual([...union, ...leaf]));
    expect(run.status()?.serialNumber).toBe(serialNumber);
  });
});
