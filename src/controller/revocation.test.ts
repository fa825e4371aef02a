import { describe, expect, it, vi } from "vitest";
import { createCrl, type CrlTerms } from "../../test/fixtures/crl.ts";
import { fakeUri } from "../../test/fixtures/fake-mesh.ts";
import { identity } from "../../test/fixtures/identity.ts";
import { createLeaf, createRoot, type Issued } from "../../test/fixtures/pki.ts";
import { type Reconciliation, startReconciliation } from "../../test/fixtures/reconciliation.ts";
import { parseCrls } from "../credentials/crl.ts";
import type { Credential } from "../credentials/credential.ts";
import type { Manifest } from "../render/manifest.ts";

const root = await createRoot();
const other = await createRoot();
const leaf = await createLeaf(root, { uris: [fakeUri("storefront")] });
const start = new Date("2026-01-01T00:00:00Z").getTime();
const at = (minutes: number) => new Date(start + minutes * 60_000);
const condition = "RevocationChecked";
const crl = "storefront-crl";
const wanted = identity("storefront", { target: { crlSecret: crl } });

function credential(lists: readonly Buffer[], bundle: readonly Issued[] = [root]): Credential {
  const certificates = bundle.map(({ certificate }) => certificate);
  const crls = parseCrls(...lists);
  return { key: leaf.key, chain: [leaf.certificate], bundle: certificates, crls };
}

function objectOf<K extends Manifest["kind"]>(run: Reconciliation, kind: K, name: string) {
  return run.store.objects.get(`emissary/${kind}/${name}`) as Extract<Manifest, { kind: K }> | undefined;
}

const published = (run: Reconciliation) =>
  Buffer.from(objectOf(run, "Secret", crl)?.data["crl.pem"] ?? "", "base64").toString();
const named = (run: Reconciliation) => objectOf(run, "TLSContext", "storefront")?.spec.crl_secret;

/** A reconciliation whose mesh sends `lists`, until Envoy checks with them. */
async function checked(terms: CrlTerms = {}): Promise<Reconciliation> {
  const run = await startReconciliation();
  run.store.put(wanted);
  await run.until(condition, "False/NoLists");
  run.mesh.emit("storefront", credential([createCrl(root, terms)]));
  await run.until(condition, "Unknown/Waiting");
  await run.clock.advance(10_000);
  await run.until(condition, "True/Checked");
  return run;
}

describe("revocation lists", { tags: ["dates"] }, () => {
  it("are published before the TLSContext names them, and stay through a restart without a write", async () => {
    await using run = await checked();
    expect(run.store.writes.slice(3)).toEqual([
      "Secret/storefront-mesh-ca",
      `Secret/${crl}`,
      "Secret/storefront-mesh-cert",
      "TLSContext/storefront",
    ]);
    expect(named(run)).toBe(crl);
    expect(parseCrls(published(run)).lists.map((list) => list.isOf(root.certificate))).toEqual([true]);
    await run.restart();
    await run.until(condition, "True/Checked");
    expect(run.store.writes).toHaveLength(7);
  });

  it("are named by the TLSContext until five minutes and the skew before they end, and stay there", async () => {
    await using run = await checked({ nextUpdate: at(60) });
    await run.clock.advance(53 * 60_000);
    expect(named(run)).toBe(crl);
    await run.clock.advance(60_000);
    await run.until(condition, "False/NotCurrent");
    expect(named(run)).toBeUndefined();
    expect(published(run)).not.toBe("");
    run.mesh.emit("storefront", credential([createCrl(root)]));
    await run.until(condition, "True/Checked");
    expect(named(run)).toBe(crl);
  });

  it("are named by the TLSContext only while each root has one", async () => {
    await using run = await checked();
    const both = [createCrl(root), createCrl(other)];
    run.mesh.emit("storefront", credential(both.slice(0, 1), [root, other]));
    await run.until(condition, "False/NotCovered");
    expect(named(run)).toBeUndefined();
    run.mesh.emit("storefront", credential(both, [root, other]));
    await run.until(condition, "True/Checked");
    expect(published(run).match(/BEGIN X509 CRL/g)).toHaveLength(2);
  });

  it("reject a leaf that they revoke, and the last good one stays", async () => {
    await using run = await checked();
    run.mesh.emit("storefront", credential([createCrl(root, { revoked: [leaf.certificate] })]));
    await run.until("SourceReady", "False/Rejected");
    expect(run.observed.rejected).toEqual([{ mesh: "consul", policy: "is-not-revoked" }]);
    await run.until(condition, "True/Checked");
  });

  it("are withdrawn when they are wanted no more", async () => {
    await using run = await checked();
    run.store.put(identity());
    await vi.waitFor(() => expect([named(run), published(run)]).toEqual([undefined, ""]));
    const conditions = () => run.status()?.conditions.map(({ type }) => type);
    await vi.waitFor(() => expect(conditions()).not.toContain(condition));
  });

  it("are reported missing if the mesh sends none", async () => {
    await using run = await startReconciliation();
    run.store.put(wanted);
    await run.until(condition, "False/NoLists");
    expect([named(run), published(run)]).toEqual([undefined, ""]);
  });
});
