import { createPublicKey } from "node:crypto";
import { describe, expect, it } from "vitest";
import { systemClock, type Clock } from "../../runtime/clock.ts";
import type { Certificate } from "../../credentials/certificate.ts";
import { createAuthority } from "./authority.ts";

const uri = "spiffe://dev.example/ns/default/dc/dc1/svc/web";

function clockAt(iso: string): Clock & { set(iso: string): void } {
  let now = new Date(iso);
  return { ...systemClock, now: () => now, set: (next) => (now = new Date(next)) };
}

function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  const x509 = issuer.x509();
  return certificate.x509().checkIssued(x509) && certificate.x509().verify(x509.publicKey);
}

describe("a development authority", () => {
  it("begins with one active, self-signed root that names the trust domain", async () => {
    const clock = clockAt("2026-01-01T00:00:00Z");
    const authority = await createAuthority({ trustDomain: "dev.example", clock, rootLifetimeMs: 90_000 });
    const [root, ...others] = authority.roots();
    expect(others).toEqual([]);
    expect(root).toMatchObject({ active: true, intermediates: [] });
    expect(root?.certificate).toMatchObject({
      isSelfSigned: true,
      isCa: true,
      uris: ["spiffe://dev.example"],
      notBefore: new Date("2026-01-01T00:00:00Z"),
      notAfter: new Date("2026-01-01T00:01:30Z"),
    });
  });

  it("issues leaves of one URI, an empty subject, the asked life and a key that matches", async () => {
    const clock = clockAt("2026-01-01T00:00:00Z");
    const authority = await createAuthority({ trustDomain: "dev.example", clock, leafLifetimeMs: 20_000 });
    const { key, chain } = await authority.issue({ uri });
    const longer = await authority.issue({ uri, lifetimeMs: 3_600_000 });
    const [leaf, ...intermediates] = chain;
    expect(intermediates).toEqual([]);
    expect(leaf).toMatchObject({
      uris: [uri],
      subject: "",
      isCa: false,
      notBefore: new Date("2025-12-31T23:59:58Z"),
      notAfter: new Date("2026-01-01T00:00:20Z"),
    });
    expect(longer.chain[0]).toMatchObject({
      notBefore: new Date("2025-12-31T23:59:00Z"),
      notAfter: new Date("2026-01-01T01:00:00Z"),
    });
    expect(leaf.x509().checkPrivateKey(key)).toBe(true);
    expect(key.export({ type: "sec1", format: "pem" })).toContain("BEGIN EC PRIVATE KEY");
    expect(leaf.serialNumber).not.toBe(longer.chain[0].serialNumber);
  });

  it("signs for a key that another party made", async () => {
    const authority = await createAuthority({ trustDomain: "dev.example", clock: systemClock });
    const { key } = await authority.issue({ uri });
    const [leaf] = authority.sign({ uri, publicKey: createPublicKey(key) });
    expect(leaf.x509().checkPrivateKey(key)).toBe(true);
  });
});

describe("a development authority whose root rotates", () => {
  it("signs with the new root, which carries itself cross-signed by the old one", async () => {
    const authority = await createAuthority({ trustDomain: "dev.example", clock: systemClock });
    const [old] = authority.roots();
    const active = await authority.rotateRoot();
    expect(authority.roots().map((root) => [root.certificate.fingerprint, root.active])).toEqual([
      [old?.certificate.fingerprint, false],
      [active.certificate.fingerprint, true],
    ]);
    const [leaf, crossSigned, ...rest] = (await authority.issue({ uri })).chain;
    if (old === undefined || crossSigned === undefined) throw new Error("no old root or no intermediate");
    expect(rest).toEqual([]);
    expect(isSignedBy(leaf, active.certificate)).toBe(true);
    expect(isSignedBy(leaf, crossSigned)).toBe(true);
    expect(isSignedBy(crossSigned, old.certificate)).toBe(true);
    expect(crossSigned.isSelfSigned).toBe(false);
    expect(active.intermediates).toEqual([crossSigned]);
  });

  it("leaves a cross-signed root that has expired out of the chain, and ends it with the root that signed it", async () => {
    const clock = clockAt("2026-01-01T00:00:00Z");
    const authority = await createAuthority({ trustDomain: "dev.example", clock, rootLifetimeMs: 120_000 });
    clock.set("2026-01-01T00:01:00Z");
    const { intermediates } = await authority.rotateRoot();
    expect(intermediates[0]?.notAfter).toEqual(new Date("2026-01-01T00:02:00Z"));
    clock.set("2026-01-01T00:02:00Z");
    expect((await authority.issue({ uri })).chain).toHaveLength(1);
  });

  it("keeps the old root listed until it is dropped, and never drops the one that signs", async () => {
    const authority = await createAuthority({ trustDomain: "dev.example", clock: systemClock });
    const old = authority.roots()[0]?.certificate.fingerprint ?? "";
    const { certificate } = await authority.rotateRoot();
    authority.dropRoot(certificate.fingerprint);
    expect(authority.roots()).toHaveLength(2);
    authority.dropRoot(old);
    expect(authority.roots().map((root) => root.certificate.fingerprint)).toEqual([certificate.fingerprint]);
  });

  it("tells each listener of each change, until it has unsubscribed", async () => {
    const authority = await createAuthority({ trustDomain: "dev.example", clock: systemClock });
    const old = authority.roots()[0]?.certificate.fingerprint ?? "";
    const seen: number[] = [];
    const unsubscribe = authority.subscribe(() => seen.push(authority.roots().length));
    await authority.rotateRoot();
    authority.dropRoot(old);
    authority.dropRoot(old);
    unsubscribe();
    await authority.rotateRoot();
    expect(seen).toEqual([2, 1]);
  });
});
