import type { X509Certificate } from "node:crypto";
import { type Certificate, isSignedBy } from "./certificate.ts";
import { CredentialError } from "./errors.ts";

/** Chains have one to three; with many more, a hostile mesh could make us check signatures for seconds. */
export const maxIntermediates = 16;

/**
 * The intermediates of `leaf` among `certificates`, each once, each behind one that it has signed, as
 * RFC 8446, section 4.4.2 wants them. Left out: the self-signed, which a verifier has or does not trust; the
 * expired, which some verifiers would follow; and those that signed nothing here.
 * @throws CredentialError if more than {@link maxIntermediates} are left to choose from.
 */
export function orderChain(
  leaf: Certificate,
  certificates: readonly Certificate[],
  now: Date,
): [leaf: Certificate, ...intermediates: Certificate[]] {
  const intermediates: Certificate[] = [];
  const candidates = certificates.filter((one) => !one.isSelfSigned && one.notAfter > now);
  if (candidates.length > maxIntermediates + 1) {
    throw new CredentialError(`${candidates.length} certificates in one chain`);
  }
  const follow = (issued: Certificate): void => {
    for (const issuer of candidates.filter((candidate) => isIssuedBy(issued, candidate))) {
      const isKnown = [leaf, ...intermediates].some((one) => one.fingerprint === issuer.fingerprint);
      if (isKnown) continue;
      intermediates.push(issuer);
      follow(issuer);
    }
  };
  follow(leaf);
  return [leaf, ...intermediates];
}

/** Signatures are what costs time, and the same one is asked for by every path and by all who judge. */
const verdicts = new WeakMap<Certificate, WeakMap<Certificate, boolean>>();

/** Names, key identifiers, key usage and signature all say so; both may be of any age. */
export function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  if (certificate.issuer !== issuer.subject) return false;
  const known = verdicts.get(certificate) ?? new WeakMap<Certificate, boolean>();
  verdicts.set(certificate, known);
  const verdict = known.get(issuer) ?? checksOut(certificate.x509(), issuer.x509());
  known.set(issuer, verdict);
  return verdict;
}

function checksOut(issued: X509Certificate, issuing: X509Certificate): boolean {
  return issued.checkIssued(issuing) && isSignedBy(issued, issuing);
}
