import assert from "node:assert/strict";
import type { Certificate, Credential } from "../../src/mesh/adapter.ts";

/** Everything that "complete" means: one key, its chain, and roots that the chain leads to. */
export function assertComplete({ key, chain, bundle }: Credential): void {
  const [leaf, ...intermediates] = chain;
  assert.equal(key.type, "private", "the key of a credential is a private KeyObject");
  assert.ok(leaf.x509().checkPrivateKey(key), "the key is that of the leaf");
  assert.ok(!leaf.isCa, "the chain begins with the leaf, not with a CA");
  assert.equal(leaf.uris.length, 1, "the leaf names exactly one URI, as an X.509-SVID does");
  assert.ok(leaf.notAfter > new Date(), "the leaf has not expired");
  for (const certificate of intermediates) {
    assert.ok(certificate.isCa, "what follows the leaf are CAs");
    assert.ok(!certificate.isSelfSigned, "the chain holds no self-signed root");
  }
  assert.ok(bundle.length > 0, "the trust bundle is not empty");
  for (const root of bundle) assert.ok(root.isCa, "the trust bundle holds only CAs");
  assert.equal(new Set(fingerprints(bundle)).size, bundle.length, "the trust bundle names each root once");
  assert.ok(rootsOf({ key, chain, bundle }).length > 0, "the chain leads to a root of the bundle");
}

/** The roots of the bundle that the leaf leads to; several where a root is cross-signed. */
export function rootsOf({ chain, bundle }: Credential): string[] {
  const reached = new Set<Certificate>();
  const found = new Set<string>();
  const pending: Certificate[] = [chain[0]];
  for (let certificate = pending.pop(); certificate !== undefined; certificate = pending.pop()) {
    if (reached.has(certificate)) continue;
    reached.add(certificate);
    for (const root of bundle) if (isIssuedBy(certificate, root)) found.add(root.fingerprint);
    pending.push(...chain.filter((issuer) => isIssuedBy(certificate, issuer)));
  }
  return [...found];
}

export function fingerprints(certificates: readonly Certificate[]): string[] {
  return certificates.map((certificate) => certificate.fingerprint);
}

function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  const x509 = issuer.x509();
  return certificate.x509().checkIssued(x509) && certificate.x509().verify(x509.publicKey);
}

export function leafOf({ chain }: Credential): string {
  return chain[0].fingerprint;
}

export function isOtherThan(earlier: Credential): (credential: Credential) => boolean {
  return (credential) => leafOf(credential) !== leafOf(earlier);
}
