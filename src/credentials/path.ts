import type { Certificate } from "./certificate.ts";
import { isIssuedBy, maxIntermediates, mayHaveIssued } from "./chain.ts";
import { clientAuth } from "./extensions.ts";
import { constrainedNames, firstForbidden } from "./name-constraints.ts";

export type Chain = readonly [leaf: Certificate, ...intermediates: Certificate[]];

interface Instant {
  readonly now: Date;
  /** How far the clocks of a mesh may disagree. */
  readonly clockSkewMs: number;
}

/**
 * Why Envoy, if it trusts `bundle` in this order, would not accept this very chain from a client (RFC 5280,
 * section 6), or `undefined` if it would. The leaf's own dates are not looked at.
 *
 * Verifiers differ, here is whom we follow:
 * - BoringSSL follows the first certificate that by its names may be the issuer, in the bundle before the
 *   chain, and tries no other one. OpenSSL prefers a current one, Go tries all. So do we as BoringSSL; that
 *   is also one signature for each step.
 * - OpenSSL wants a self-signed root; Envoy and Go take any CA of the bundle as an anchor, and so do we.
 * - anyExtendedKeyUsage does for Go, not for OpenSSL and BoringSSL, and so not for us.
 * - A CA without basicConstraints does for OpenSSL if its key usage is certSign, not for RFC 5280, Go and us.
 * - Self-issued CAs count against pathLenConstraint for Go, not for RFC 5280, OpenSSL, BoringSSL and us.
 * - The leaf's key usage is nothing to Go; OpenSSL also takes keyAgreement, which no handshake here would
 *   use.
 * - A leaf that is a CA does for all of them, but not for X.509-SVID (section 5.1), and so not for us.
 */
export function pathProblem(
  chain: Chain,
  bundle: readonly Certificate[],
  instant: Instant,
): string | undefined {
  const [leaf] = chain;
  if (bundle.length === 0) return "the trust bundle is empty";
  const problem = leafProblem(leaf);
  if (problem !== undefined) return problem;
  const { path, anchorAt } = pathOf(chain, bundle);
  if (comparisonsOf(path) > maxComparisons)
    return `name constraints and names would take more than ${maxComparisons} comparisons`;
  for (const [index, issuer] of path.entries()) {
    const issued = path[index - 1];
    if (issued === undefined) continue;
    if (!isIssuedBy(issued, issuer)) {
      const subject = issuer.isCa ? `"${issuer.toString()}" has not` : "no CA in chain or bundle has";
      return `${subject} signed "${issued.toString()}"`;
    }
    const found = authorityProblem(issuer, [leaf, ...path.slice(1, index)], index >= anchorAt, instant);
    if (found !== undefined) return found;
  }
  return anchorAt < path.length
    ? undefined
    : `no CA in chain or bundle has signed "${(path.at(-1) ?? leaf).toString()}"`;
}

/**
 * What all names of the path against all of its name constraints take, as Go bounds it too; here lower, for
 * the event loop.
 */
const maxComparisons = 16 * 1024;

function comparisonsOf(path: readonly Certificate[]): number {
  const sum = (count: (one: Certificate) => number) => path.reduce((all, one) => all + count(one), 0);
  const constraints = sum(({ extensions: { nameConstraints } }) => {
    return nameConstraints === undefined
      ? 0
      : nameConstraints.permitted.length + nameConstraints.excluded.length;
  });
  return constraints * sum(({ extensions }) => extensions.names.length + 1);
}

/**
 * The certificates from the leaf up that BoringSSL would check; from `anchorAt` on they are of the bundle.
 */
function pathOf(
  chain: Chain,
  bundle: readonly Certificate[],
): { readonly path: readonly Certificate[]; readonly anchorAt: number } {
  const [leaf, ...intermediates] = chain;
  const path = [leaf];
  const issuerOf = (issued: Certificate, among: readonly Certificate[]) =>
    issued.subject === issued.issuer && mayHaveIssued(issued, issued)
      ? undefined
      : among.find((one) => mayHaveIssued(one, issued));
  let top = leaf;
  const climb = (issuer: Certificate | undefined): boolean => {
    if (issuer === undefined || path.includes(issuer) || path.length > 2 * maxIntermediates) return false;
    path.push(issuer);
    top = issuer;
    return true;
  };
  while (issuerOf(top, bundle) === undefined && climb(issuerOf(top, intermediates)));
  const anchorAt = path.length;
  while (climb(issuerOf(top, bundle)));
  return { path, anchorAt };
}

/**
 * The roots of `bundle` so that the first that may have issued a certificate of `chain` is the one that has:
 * of several with one name and no key identifiers, BoringSSL tries the first only.
 */
export function rootOfChainFirst(chain: Chain, bundle: readonly Certificate[]): readonly Certificate[] {
  for (const issued of chain) {
    const candidates = bundle.filter((root) => mayHaveIssued(root, issued)).slice(0, maxCandidates);
    const [first] = candidates;
    if (first === undefined) continue;
    const right = candidates.find((root) => isIssuedBy(issued, root));
    if (right === undefined || right === first) return bundle;
    return bundle.flatMap((root) => (root === first ? [right, first] : root === right ? [] : [root]));
  }
  return bundle;
}

/** Each costs a signature. */
const maxCandidates = 8;

/**
 * Whether one of `roots` has signed a certificate of `chain`. Of many that may have by their names, only the
 * first count.
 */
export function isUnder(chain: Chain, roots: readonly Certificate[]): boolean {
  const pairs = chain.flatMap((issued) =>
    roots.filter((root) => mayHaveIssued(root, issued)).map((root) => [issued, root] as const),
  );
  return pairs.slice(0, maxCandidates).some(([issued, root]) => isIssuedBy(issued, root));
}

/**
 * The first certificate that is by its name the issuer of none before it, so that a strict reader could not
 * follow.
 */
export function outOfOrder(chain: Chain): Certificate | undefined {
  return chain.slice(1).find(({ subject }, index) => {
    return !chain.slice(0, index + 1).some(({ issuer }) => issuer === subject);
  });
}

export function isCurrent({ notBefore, notAfter }: Certificate, { now, clockSkewMs }: Instant): boolean {
  return (
    notBefore.getTime() - clockSkewMs <= now.getTime() && now.getTime() < notAfter.getTime() + clockSkewMs
  );
}

function leafProblem(leaf: Certificate): string | undefined {
  if (leaf.isCa) return "the leaf is a CA";
  if (leaf.extensions.keyUsage?.has("digitalSignature") === false)
    return "the leaf's key usage is not digitalSignature";
  return extensionProblem(leaf);
}

function authorityProblem(
  issuer: Certificate,
  path: Chain,
  isAnchor: boolean,
  instant: Instant,
): string | undefined {
  const name = `"${issuer.toString()}"`;
  if (!isCurrent(issuer, instant)) {
    return `${name} is valid from ${issuer.notBefore.toISOString()} to ${issuer.notAfter.toISOString()}`;
  }
  const { extensions } = issuer;
  const isOldRoot = isAnchor && issuer.isSelfSigned && extensions.isVersion1;
  if (!issuer.isCa && !isOldRoot) return `${name} is no CA`;
  const [leaf, ...between] = path;
  const below = between.filter((one) => one.subject !== one.issuer);
  if (below.length > (extensions.pathLength ?? Infinity)) {
    return `${name} allows ${extensions.pathLength ?? 0} CAs below it, not ${below.length}`;
  }
  const { nameConstraints } = extensions;
  const names =
    nameConstraints &&
    [leaf, ...below].flatMap((one) => constrainedNames(one.extensions.names, one.subjectDer));
  if (nameConstraints && names && firstForbidden(names, nameConstraints) !== undefined) {
    return `${name} has a name constraint against the identity`;
  }
  return extensionProblem(issuer);
}

function extensionProblem(certificate: Certificate): string | undefined {
  const { extendedKeyUsage, unknownCritical, problem } = certificate.extensions;
  const name = `"${certificate.toString()}"`;
  if (problem !== undefined) return `${name} has ${problem}`;
  if (extendedKeyUsage?.includes(clientAuth) === false) return `${name} is not for clientAuth`;
  const [unknown] = unknownCritical;
  return unknown === undefined ? undefined : `${name} has the unknown critical extension ${unknown}`;
}
