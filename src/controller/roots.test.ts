import { describe, expect, it, vi } from "vitest";
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
