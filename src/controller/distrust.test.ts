import { describe, expect, it, vi } from "vitest";
import { identity } from "../../test/fixtures/identity.ts";
import { type Reconciliation, startReconciliation } from "../../test/fixtures/reconciliation.ts";
import { parseCertificates } from "../credentials/certificates.ts";

const hourMs = 3_600_000;
const caSecret = "emissary/Secret/storefront-mesh-ca";

/** One root that the mesh has dropped, and one that it lists. */
async function withRetiringRoot(): Promise<Reconciliation & { readonly old: string }> {
  const run = await startReconciliation({ retainMs: 24 * hourMs, leafLifetimeMs: 72 * hourMs });
  run.store.put(identity());
  await run.until("Ready", "True/Valid");
  const old = run.mesh.authority.roots()[0]?.certificate.fingerprint ?? "";
  await run.mesh.rotateRoot();
  await run.mesh.dropOldRoots();
  await vi.waitFor(() => expect(states(run)).toEqual(["active", "retiring"]));
  return Object.assign(run, { old });
}

function states(run: Reconciliation): readonly string[] | undefined {
  return run.status()?.roots?.map(({ state }) => state);
}

function trusted(run: Reconciliation): string[] {
  const secret = run.store.objects.get(caSecret);
  const pem = secret?.kind === "Secret" ? (secret.data["tls.crt"] ?? "") : "";
  return parseCertificates(Buffer.from(pem, "base64").toString()).map(({ fingerprint }) => fingerprint);
}

describe("a root that is distrusted", () => {
  it("is published no longer, at once, and nothing else is written", async () => {
    await using run = await withRetiringRoot();
    const { length } = run.store.writes;
    run.store.annotate("emissary/storefront", { "attache.dev/distrust": run.old.toUpperCase() });
    await vi.waitFor(() => expect(states(run)).toEqual(["active"]));
    expect(trusted(run)).not.toContain(run.old);
    expect(run.store.writes.slice(length)).toEqual(["Secret/storefront-mesh-ca"]);
  });

  it("is brought back by no successor, not from a backup of the CA Secret either", async () => {
    await using run = await withRetiringRoot();
    const backup = run.store.objects.get(caSecret) ?? expect.unreachable();
    run.store.annotate("emissary/storefront", { "attache.dev/distrust": run.old });
    await vi.waitFor(() => expect(states(run)).toEqual(["active"]));
    run.store.objects.set(caSecret, backup);
    await run.restart();
    await vi.waitFor(() => expect(run.controller.reconcilers[0]?.hasLooked).toBe(true));
    expect(trusted(run)).not.toContain(run.old);
    expect(states(run)).toEqual(["active"]);
  });

  it("is published all the same while the mesh lists it", async () => {
    await using run = await withRetiringRoot();
    const current = run.mesh.authority.roots()[0]?.certificate.fingerprint ?? "";
    run.store.annotate("emissary/storefront", { "attache.dev/distrust": `${run.old}, ${current}` });
    await vi.waitFor(() => expect(states(run)).toEqual(["active"]));
    expect(trusted(run)).toEqual([current]);
  });
});

describe("a root that the mesh has dropped", () => {
  it.each([
    ["the leaf rotates", (run: Reconciliation) => run.mesh.rotate()],
    ["the process restarts", (run: Reconciliation) => run.restart()],
    ["the mesh is unreachable", (run: Reconciliation) => run.mesh.stop()],
    ["another root comes", (run: Reconciliation) => run.mesh.rotateRoot()],
    [
      "what is published is unused, and then used again",
      (run: Reconciliation) => {
        const use = { kind: "Mapping", namespace: "emissary", name: "a" };
        run.store.use("emissary/storefront", [use]);
        run.store.use("emissary/storefront", []);
        return Promise.resolve();
      },
    ],
  ])("goes when its time is over and not before, also when %s", async (_, meanwhile) => {
    await using run = await withRetiringRoot();
    await run.clock.advance(hourMs);
    await meanwhile(run);
    await run.clock.advance(23 * hourMs - 1_000);
    expect(trusted(run)).toContain(run.old);
    await run.clock.advance(1_000);
    await vi.waitFor(() => expect(trusted(run)).not.toContain(run.old));
  });
});
