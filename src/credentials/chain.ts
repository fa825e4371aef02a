import { type Certificate, isSignedBy } from "./certificate.ts";
import { canonicalName } from "./distinguished-name.ts";
import { CredentialError } from "./errors.ts";
import type { AuthorityKeyId } from "./extensions.ts";

/** Chains have one to three; with many more, a hostile mesh could make us check signatures for seconds. */
export const maxIntermediates = 16;

/**
 * How many signatures are checked at most to put a chain in order: an honest one needs one for each
 * certificate.
 */
const maxSignatures = 2 * maxIntermediates;

/**
 * The intermediates of `leaf` among `certificates`, each once, each behind one that it has signed, as
 * RFC 8446, section 4.4.2 wants them. Left out: the self-signed, which a verifier has or does not trust; the
 * expired, which some verifiers would follow; and those that signed nothing here.
 * @throws CredentialError if more than {@link maxIntermediates} are left to choose from, or if too many could
 *   have signed each other.
 */
export function orderChain(
  leaf: Certificate,
  certificates: readonly Certificate[],
  now: Date,
): [leaf: Certificate, ...intermediates: Certificate[]] {
  const chain: [Certificate, ...Certificate[]] = [leaf];
  const candidates = certificates.filter((one) => one.notAfter > now);
  const intermediates = candidates.filter(({ subject, issuer }) => subject !== issuer);
  if (intermediates.length > maxIntermediates + 1) {
    throw new CredentialError(`${intermediates.length} certificates in one chain`);
  }
  let signatures = 0;
  const follow = (issued: Certificate): void => {
    for (const issuer of candidates) {
      if (chain.includes(issuer) || !mayHaveIssued(issuer, issued)) continue;
      signatures += 1;
      if (signatures > maxSignatures)
        throw new CredentialError(`more than ${maxSignatures} signatures to check in one chain`);
      if (!isIssuedBy(issued, issuer) || issuer.isSelfSigned) continue;
      chain.push(issuer);
      follow(issuer);
    }
  };
  follow(leaf);
  return chain;
}

/**
 * Whether names and key identifiers allow that `issuer` has signed `certificate`: all that
 * BoringSSL compares before it decides for an issuer. It tries no other one if the signature is not of that
 * one.
 */
export function mayHaveIssued(issuer: Certificate, certificate: Certificate): boolean {
  if (!isNamed(certificate.issuer, issuer.subject, certificate.issuerDer, issuer.subjectDer)) return false;
  const { authorityKeyId: named, problem } = certificate.extensions;
  const { problem: issuerProblem } = issuer.extensions;
  if (problem !== undefined || issuerProblem !== undefined) return false;
  return mayBeKeyOf(issuer, named);
}

/** Whether key identifiers allow that the key that is `named` is the one of `issuer`. */
export function mayBeKeyOf(issuer: Certificate, named: AuthorityKeyId | undefined): boolean {
  if (named === undefined) return true;
  const { subjectKeyId } = issuer.extensions;
  const isOtherKey = named.keyId && subjectKeyId && !named.keyId.equals(subjectKeyId);
  const isOtherSerial = named.serial && !named.serial.equals(issuer.serial);
  const isOtherIssuer = named.issuer && canonicalName(named.issuer) !== canonicalName(issuer.issuerDer);
  return isOtherKey !== true && isOtherSerial !== true && isOtherIssuer !== true;
}

/** Most names are equal or different to the letter; only the others are compared as BoringSSL does. */
function isNamed(issuer: string, subject: string, issuerDer: Buffer, subjectDer: Buffer): boolean {
  if (issuer === subject) return true;
  if (comparable(issuer) !== comparable(subject)) return false;
  const name = canonicalName(issuerDer);
  return name !== undefined && name === canonicalName(subjectDer);
}

function comparable(name: string): string {
  return name.replace(/\s+/g, "").toLowerCase();
}

/** Signatures are what costs time, and the same one is asked for by every path and by all who judge. */
const verdicts = new WeakMap<Certificate, WeakMap<Certificate, boolean>>();

/** Names, key identifiers, key usage and signature all say so; both may be of any age. */
export function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  if (certificate.issuer !== issuer.subject || !mayHaveIssued(issuer, certificate)) return false;
  if (issuer.extensions.keyUsage?.has("keyCertSign") === false) return false;
  const known = verdicts.get(certificate) ?? new WeakMap<Certificate, boolean>();
  verdicts.set(certificate, known);
  const verdict = known.get(issuer) ?? isSignedBy(certificate, issuer);
  known.set(issuer, verdict);
  return verdict;
}
