import { describe, expect, it, vi } from "vitest";
import { fakeUri } from "../../test/fixtures/fake-mesh.ts";
import { identity } from "../../test/fixtures/identity.ts";
import { oddCertificates } from "../../test/fixtures/odd-certificates.ts";
import { createRoot } from "../../test/fixtures/pki.ts";
import { type Reconciliation, startReconciliation } from "../../test/fixtures/reconciliation.ts";
import { Certificate } from "../credentials/certificate.ts";
import { parseCertificates } from "../credentials/certificates.ts";
import type { Credential } from "../credentials/credential.ts";

function oddRoot(what: string): Certificate {
  const odd = oddCertificates.find((one) => one.role === "authority" && one.what === what);
  return new Certificate(odd?.made.der ?? Buffer.alloc(0));
}

/** The fake mesh, with more roots in its list. */
function listing(more: readonly Certificate[]): Promise<Reconciliation> {
  return startReconciliation({
    async *watch(watch): AsyncGenerator<Credential> {
      for await (const credential of watch())
        yield { ...credential, bundle: [...more, ...credential.bundle] };
    },
  });
}

function published(run: Reconciliation): Certificate[] {
  const secret = run.store.objects.get("emissary/Secret/storefront-mesh-ca");
  const pem = secret?.kind === "Secret" ? (secret.data["tls.crt"] ?? "") : "";
  return parseCertificates(Buffer.from(pem, "base64").toString());
}

function message(run: Reconciliation, type: string): string | undefined {
  return run.status()?.conditions.find((one) => one.type === type)?.message;
}

describe("roots of a mesh", () => {
  it("are published without the one that Envoy cannot read, and the status says so", async () => {
    await using run = await listing([oddRoot("version 1 with extensions")]);
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    expect(published(run)).toHaveLength(1);
    await vi.waitFor(() =>
      expect(message(run, "SourceReady")).toContain(
        'The root "CN=hand-made root" is left out, since Envoy does not read it: it has version 1 with extensions.',
      ),
    );
  });

  it("are published with the one that only Go cannot read behind the others", async () => {
    await using run = await listing([oddRoot("a negative serial number")]);
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    expect(published(run).map(({ subject }) => subject === "CN=hand-made root")).toEqual([false, true]);
  });

  it("lose one when it ends, although nothing else happens", async () => {
    const { certificate: ending } = await createRoot({ notAfter: new Date("2026-01-01T00:10:00Z") });
    await using run = await listing([ending]);
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    expect(published(run)).toContainEqual(ending);
    await run.clock.advance(11 * 60_000);
    await vi.waitFor(() => expect(published(run)).not.toContainEqual(ending));
    expect(published(run)).not.toEqual([]);
  });
});

describe("a root that another client has put into the CA Secret while attaché did not run", () => {
  /** As one who may write the Secret: the root itself, and a record that keeps it for decades. */
  async function plant(run: Reconciliation): Promise<Certificate> {
    const { certificate } = await createRoot({
      subject: "CN=evil",
      notAfter: new Date("2099-01-01T00:00:00Z"),
    });
    const id = "emissary/Secret/storefront-mesh-ca";
    const secret = run.store.objects.get(id);
    if (secret?.kind !== "Secret") throw new Error("there is no CA Secret");
    const pem = Buffer.from(secret.data["tls.crt"] ?? "", "base64").toString() + certificate.toPem();
    const { annotations } = secret.metadata;
    const record = JSON.parse(annotations["attache.dev/roots"] ?? "[]") as unknown[];
    const planted = [
      ...record,
      { fingerprint: certificate.fingerprint, retireAt: "2098-12-31T00:00:00.000Z" },
    ];
    run.store.objects.set(id, {
      ...secret,
      metadata: {
        ...secret.metadata,
        annotations: { ...annotations, "attache.dev/roots": JSON.stringify(planted) },
      },
      data: { ...secret.data, "tls.crt": Buffer.from(pem).toString("base64") },
    });
    return certificate;
  }

  it.each([
    ["is removed where nothing is retained", 0, undefined],
    ["stays no longer than a root that the mesh has dropped", 3_600_000, "2026-01-01T01:00:00.000Z"],
  ])("%s, and is reported once", async (_what, retainMs, retireAt) => {
    await using run = await startReconciliation({ retainMs });
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    const honest = published(run);
    const evil = await plant(run);
    const saved = run.store.statuses.get("emissary/storefront");
    run.store.put({ ...identity(), ...(saved && { status: saved }) });
    await run.restart();
    await vi.waitFor(() => expect(run.observed.unknownRoot).toEqual([{ mesh: "consul" }]));
    await vi.waitFor(() => {
      expect(run.status()?.rootProblems).toMatchObject([
        { fingerprint: evil.fingerprint, reason: "Unknown" },
      ]);
    });
    expect(run.status()?.roots?.find(({ fingerprint }) => fingerprint === evil.fingerprint)?.retireAt).toBe(
      retireAt,
    );
    await run.clock.advance(retainMs);
    await vi.waitFor(() => expect(published(run)).toEqual(honest));
    expect(run.observed.unknownRoot).toHaveLength(1);
  });

  it("is none that the status has, as a root that retires across a restart", async () => {
    await using run = await startReconciliation({ retainMs: 3_600_000 });
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.mesh.rotateRoot();
    await vi.waitFor(() => expect(run.status()?.roots).toHaveLength(2));
    const saved = run.store.statuses.get("emissary/storefront");
    run.store.put({ ...identity(), ...(saved && { status: saved }) });
    await run.restart();
    await run.until("SourceReady", "True/Received");
    expect(run.observed.unknownRoot).toEqual([]);
    expect(run.status()?.rootProblems).toBeUndefined();
  });
});

it("a root that cannot be read is named in the status", async () => {
  await using run = await startReconciliation();
  run.store.put(identity());
  await run.until("Ready", "True/Valid");
  const { key, chain } = await run.mesh.authority.issue({ uri: fakeUri("storefront") });
  const bundle = run.mesh.authority.roots().map(({ certificate }) => certificate);
  const leftOut = [
    { fingerprint: "a".repeat(64), reason: "UnreadableByEnvoy", message: "It is odd." },
  ] as const;
  run.mesh.emit("storefront", { key, chain, bundle, leftOut });
  await vi.waitFor(() => expect(run.status()?.rootProblems).toEqual(leftOut));
});
