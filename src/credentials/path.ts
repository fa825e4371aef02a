import type { Certificate } from "./certificate.ts";
import { isIssuedBy } from "./chain.ts";
import { clientAuth } from "./extensions.ts";
import { constrainedNames, firstForbidden } from "./name-constraints.ts";

type Chain = readonly [leaf: Certificate, ...intermediates: Certificate[]];

interface Instant {
  readonly now: Date;
  /** How far the clocks of a mesh may disagree. */
  readonly clockSkewMs: number;
}

/**
 * Why a server that trusts `bundle` would not accept this very chain from a client (RFC 5280, section 6), or
 * `undefined` if it would. Of several paths, over cross-signed roots, one is enough. The leaf's own dates are
 * not looked at.
 *
 * Verifiers differ, here is whom we follow:
 * - OpenSSL wants a self-signed root; Envoy and Go take any CA of the bundle as an anchor, and so do we.
 * - OpenSSL and BoringSSL follow the first issuer that fits, also an expired root that is still in their store;
 *   Go tries all, and so do we.
 * - anyExtendedKeyUsage does for Go, not for OpenSSL and BoringSSL, and so not for us.
 * - A CA without basicConstraints does for OpenSSL if its key usage is certSign, not for RFC 5280, Go and us.
 * - Self-issued CAs count against pathLenConstraint for Go, not for RFC 5280, OpenSSL, BoringSSL and us.
 * - The leaf's key usage is nothing to Go; OpenSSL also takes keyAgreement, which no handshake here would use.
 * - A leaf that is a CA does for all of them, but not for X.509-SVID (section 5.1), and so not for us.
 */
export function pathProblem(
  chain: Chain,
  bundle: readonly Certificate[],
  instant: Instant,
): string | undefined {
  const [leaf, ...intermediates] = chain;
  if (bundle.length === 0) return "the trust bundle is empty";
  const anchors = new Set(bundle.map(({ fingerprint }) => fingerprint));
  let steps = maxSteps;

  const climb = (path: Chain): string | undefined => {
    const top = path[path.length - 1] ?? leaf;
    let problem: string | undefined;
    for (const issuer of [...bundle, ...intermediates]) {
      if (issuer.subject !== top.issuer || path.includes(issuer)) continue;
      if (steps === 0) return "too many ways to go through it";
      steps -= 1;
      if (!isIssuedBy(top, issuer)) continue;
      const isAnchor = anchors.has(issuer.fingerprint);
      const next =
        authorityProblem(issuer, path, isAnchor, instant) ??
        (isAnchor ? undefined : climb([...path, issuer]));
      if (next === undefined) return undefined;
      problem ??= next;
    }
    return problem ?? `no CA in chain or bundle has signed "${top.toString()}"`;
  };
  return leafProblem(leaf) ?? climb([leaf]);
}

/** The first certificate that is by its name the issuer of none before it, so that a strict reader could not follow. */
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

/** Far above any honest set; a hostile one could make the number of paths grow with a faculty. */
const maxSteps = 500;

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
