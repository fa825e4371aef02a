import { describe, expect, it, vi } from "vitest";
import { fakeUri } from "../../test/fixtures/fake-mesh.ts";
import { identity } from "../../test/fixtures/identity.ts";
import { createLeaf, createRoot, Extension, type Issued, type Terms } from "../../test/fixtures/pki.ts";
import { type Reconciliation, startReconciliation } from "../../test/fixtures/reconciliation.ts";
import type { Credential } from "../credentials/credential.ts";
import { CredentialError } from "../credentials/errors.ts";
import { MeshError } from "../mesh/errors.ts";

const hourMs = 3_600_000;

interface Given {
  readonly leaf?: Terms;
  readonly root?: Terms;
  readonly change?: (credential: Credential, root: Issued) => Credential | Promise<Credential>;
}

/** Whatever a mesh may give for `storefront`: sound, but for what is said. */
async function credentialOf({ leaf: terms, root: rootTerms, change }: Given): Promise<Credential> {
  const root = await createRoot(rootTerms);
  const leaf = await createLeaf(root, { uris: [fakeUri("storefront")], ...terms });
  const credential = { key: leaf.key, chain: [leaf.certificate], bundle: [root.certificate] } as const;
  return change === undefined ? credential : change(credential, root);
}

/** Once there is something good to lose. */
async function published(): Promise<Reconciliation> {
  const run = await startReconciliation();
  run.store.put(identity());
  await run.until("SourceReady", "True/Received");
  await run.until("Ready", "True/Valid");
  return run;
}

/** On the clock of the run. */
const at = (offsetMs: number) => new Date(Date.UTC(2026, 0, 1) + offsetMs);

/** A root that takes 100 kB in a Secret. */
const fat = { extensions: [new Extension("1.3.6.1.4.1.99999.1", false, new Uint8Array(55 * 1024))] };

describe("a credential that must not be published leaves the last good one, and SourceReady says why:", () => {
  it.each<[string, Given, string, RegExp]>([
    [
      "a mismatched key",
      { change: async (one) => ({ ...one, key: (await createRoot()).key }) },
      "key-matches-leaf",
      /does not belong to the leaf/,
    ],
    [
      "a leaf of another SPIFFE ID",
      { leaf: { uris: [fakeUri("billing")] } },
      "identity-is-expected",
      /fake\.example\/billing/,
    ],
    [
      "a leaf of no SPIFFE ID",
      { leaf: { uris: [], dns: ["storefront"] } },
      "identity-is-expected",
      /0 URI names/,
    ],
    ["an expired leaf", { leaf: { notAfter: at(-hourMs) } }, "leaf-is-current", /expired at/],
    [
      "a leaf that is not valid yet",
      { leaf: { notBefore: at(hourMs) } },
      "leaf-is-current",
      /not valid before/,
    ],
    [
      "a chain that leads nowhere",
      { change: async (one) => ({ ...one, bundle: [(await createRoot()).certificate] }) },
      "chain-is-ordered-and-leads-to-bundle",
      /leads? to/,
    ],
    [
      "an empty bundle",
      { change: (one) => ({ ...one, bundle: [] }) },
      "chain-is-ordered-and-leads-to-bundle",
      /no root|empty/,
    ],
    [
      "a bundle of over 1 MiB",
      {
        change: async (one) => {
          const roots = await Promise.all(Array.from({ length: 12 }, () => createRoot(fat)));
          return { ...one, bundle: [...one.bundle, ...roots.map(({ certificate }) => certificate)] };
        },
      },
      "fits-a-secret",
      /takes \d{7} bytes in a Secret/,
    ],
    ["a weak key", { leaf: { keyType: "RSA-1024" } }, "key-is-strong", /1024/],
    [
      "an expired root",
      { root: { notAfter: at(-hourMs) } },
      "chain-is-ordered-and-leads-to-bundle",
      /is valid from/,
    ],
  ])("%s", async (_, given, policy, message) => {
    await using run = await published();
    const before = structuredClone([...run.store.objects]);
    run.mesh.emit("storefront", await credentialOf(given));
    await run.until("SourceReady", "False/Rejected");
    const source = run.status()?.conditions.find(({ type }) => type === "SourceReady");
    expect(source?.message).toContain(policy);
    expect(source?.message).toMatch(message);
    await run.until("Ready", "True/Valid");
    expect([...run.store.objects]).toEqual(before);
    expect(run.observed.rejected).toEqual([{ mesh: "consul", policy }]);
  });

  it("what is garbage, and so no credential", async () => {
    await using run = await published();
    const cause = new CredentialError("private key: no PEM block");
    await run.mesh.refuse("storefront", new MeshError("ATTACHE_MESH_MALFORMED", cause.problem, { cause }));
    await run.until("SourceReady", "False/Malformed");
    await run.until("Ready", "True/Valid");
    expect(run.store.objects.size).toBe(3);
  });
});

describe("a leaf within the skew of the clocks", () => {
  it.each([
    ["begins in less than a minute", { notBefore: at(50_000) }],
    ["began a moment ago", { notBefore: at(-50_000) }],
  ])("that %s is published", async (_, leaf) => {
    await using run = await published();
    run.mesh.emit("storefront", await credentialOf({ leaf }));
    await vi.waitFor(() => expect(run.status()?.notBefore).toBe(leaf.notBefore.toISOString()));
    await run.until("SourceReady", "True/Received");
  });
});
