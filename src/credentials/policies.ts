import type { Admission, Candidate, Policy, PolicyName, Rejection } from "./candidate.ts";
import { maxIntermediates } from "./chain.ts";
import type { Credential } from "./credential.ts";
import { keyProblem } from "./public-key.ts";
import { isCurrent, outOfOrder, pathProblem } from "./path.ts";
import { printable } from "../text/printable.ts";
import { isSameSpiffeId, readExpectedId } from "./spiffe-id.ts";
import { revokedIn } from "./revocation.ts";
import { presentable } from "./trust-bundle.ts";

/**
 * What a credential must pass before anything is written, in this order; the first that fails is the reason.
 */
export const policies: readonly Policy[] = [
  policy("is-within-limits", isWithinLimits),
  policy("readable-by-envoy-and-emissary", isReadable),
  policy("key-matches-leaf", keyMatchesLeaf),
  policy("chain-is-ordered-and-leads-to-bundle", chainLeadsToBundle),
  policy("leaf-is-current", leafIsCurrent),
  policy("is-not-revoked", isNotRevoked),
  policy("identity-is-expected", identityIsExpected),
  policy("identity-is-allowed", identityIsAllowed),
  policy("key-is-strong", keyIsStrong),
  policy("not-a-replay", notAReplay),
];

/** Whether `candidate` may be published. */
export function admit(candidate: Candidate): Admission {
  for (const { check } of policies) {
    const rejection = check(candidate);
    if (rejection !== undefined) return { kind: "rejected", rejection };
  }
  return { kind: "admitted" };
}

type Reason = Omit<Rejection, "policy">;

function policy(name: PolicyName, reason: (candidate: Candidate) => Reason | undefined): Policy {
  return {
    name,
    check: (candidate) => {
      const found = reason(candidate);
      return found && { policy: name, ...found };
    },
  };
}

/** First, because all others take time with each certificate. */
function isWithinLimits({ credential: { chain, bundle }, limits }: Candidate): Reason | undefined {
  const { secretBytes, bundleCertificates } = limits;
  if (bundle.length > bundleCertificates) {
    return {
      message: `The trust bundle has ${bundle.length} certificates, more than ${bundleCertificates}.`,
      remedy:
        "Remove roots in the mesh that are not needed any more, or raise limits.bundleCertificates in the settings.",
    };
  }
  const size = (certificates: Credential["bundle"]) =>
    Math.ceil(certificates.reduce((sum, certificate) => sum + certificate.pemLength, 0) / 3) * 4;
  const chainBytes = size(chain) + keyBytes;
  const bundleBytes = size(bundle);
  if (Math.max(chainBytes, bundleBytes) <= secretBytes) return undefined;
  const [what, bytes] = chainBytes > secretBytes ? ["chain", chainBytes] : ["trust bundle", bundleBytes];
  return {
    message: `The ${what} takes ${bytes} bytes in a Secret, which holds ${secretBytes}.`,
    remedy: "Remove roots or intermediates in the mesh that are not needed any more.",
  };
}

function isReadable({ credential: { chain, bundle }, now }: Candidate): Reason | undefined {
  for (const [index, certificate] of chain.entries()) {
    const { envoy, go } = certificate.profile(index === 0 ? "leaf" : "authority");
    const problem = envoy ?? go;
    if (problem !== undefined) {
      return {
        message: `${envoy === undefined ? "Emissary" : "Envoy"} does not read "${certificate.toString()}": it has ${problem}.`,
        remedy: "Let the mesh's CA issue X.509 version 3 in DER, as RFC 5280 describes it.",
      };
    }
  }
  // Emissary drops a CA Secret whose first certificate Go cannot read, and upstreams are no longer verified.
  const [root] = presentable(bundle, now, chain).bundle;
  const problem = root?.profile("authority").go;
  if (root === undefined || problem === undefined) return undefined;
  return {
    message: `Emissary reads no root of the mesh: "${root.toString()}" has ${problem}.`,
    remedy: "Let the mesh list a root that is X.509 in DER, as RFC 5280 describes it.",
  };
}

function keyMatchesLeaf({ credential: { key, chain } }: Candidate): Reason | undefined {
  if (chain[0].x509().checkPrivateKey(key)) return undefined;
  return {
    message: `The private key does not belong to the leaf "${chain[0].toString()}".`,
    remedy:
      "The mesh sends the key of one rotation with the certificate of another; see whether the next one fits.",
  };
}

function chainLeadsToBundle({
  credential: { chain, bundle },
  publishedBundle,
  now,
  clockSkewMs,
}: Candidate): Reason | undefined {
  if (chain.length - 1 > maxIntermediates) {
    return {
      message: `The chain has ${chain.length - 1} intermediates, more than ${maxIntermediates}.`,
      remedy: "Look at what the mesh sends as the chain: it should be the leaf and the CAs up to its root.",
    };
  }
  const stray = outOfOrder(chain);
  if (stray !== undefined) {
    return {
      message: `The chain is out of order: "${stray.toString()}" is not the CA of any certificate before it.`,
      remedy: "The adapter must put leaf and intermediates in the order of their issuers.",
    };
  }
  const instant = { now, clockSkewMs };
  const problem =
    pathProblem(chain, presentable(bundle, now, chain).bundle, instant) ??
    (publishedBundle && pathProblem(chain, publishedBundle(), instant));
  if (problem === undefined) return undefined;
  const starts = [...chain, ...bundle].map(({ notBefore }) => notBefore.getTime() - clockSkewMs);
  const next = Math.min(...starts.filter((start) => start > now.getTime()));
  return {
    message: `The chain of "${chain[0].toString()}" does not lead to the trust bundle: ${problem}.`,
    remedy:
      "Check the mesh's CA: its roots, its intermediates and their dates; after a root change, give it a moment.",
    ...(Number.isFinite(next) && { reviewAt: new Date(next) }),
  };
}

function leafIsCurrent({ credential: { chain }, now, clockSkewMs }: Candidate): Reason | undefined {
  const [leaf] = chain;
  if (isCurrent(leaf, { now, clockSkewMs })) return undefined;
  if (leaf.notAfter <= now) {
    return {
      message: `The leaf "${leaf.toString()}" expired at ${leaf.notAfter.toISOString()}.`,
      remedy: "Check that the mesh renews its leaves, and compare its clock with this machine's.",
    };
  }
  return {
    message: `The leaf "${leaf.toString()}" is not valid before ${leaf.notBefore.toISOString()}.`,
    remedy: "Compare the clock of the mesh's CA with this machine's.",
    reviewAt: new Date(leaf.notBefore.getTime() - clockSkewMs),
  };
}

function isNotRevoked({ credential }: Candidate): Reason | undefined {
  const revoked = revokedIn(credential);
  if (revoked === undefined) return undefined;
  return {
    message: `"${revoked.toString()}" (serial number ${revoked.serialNumber}) is revoked by the mesh's own revocation list.`,
    remedy: "Let the mesh issue a new leaf, and see who has revoked this certificate and why.",
  };
}

function identityIsExpected({ credential: { chain }, expected }: Candidate): Reason | undefined {
  const { uris } = chain[0];
  const [uri = ""] = uris;
  const remedy = "Check which identity the mesh issues to attaché, and what the MeshCertificate asks for.";
  if (uris.length !== 1) {
    return { message: `The leaf has ${uris.length} URI names; an X.509-SVID has exactly one.`, remedy };
  }
  const { spiffeId } = expected;
  const trustDomain = readExpectedId(uri, spiffeId)?.trustDomain;
  if (trustDomain === undefined) {
    return { message: `The leaf's URI name "${printable(uri)}" is not a SPIFFE ID.`, remedy };
  }
  if (
    expected.trustDomain !== undefined &&
    trustDomain.toLowerCase() !== expected.trustDomain.toLowerCase()
  ) {
    return { message: `The leaf is for ${uri}, not of the trust domain ${expected.trustDomain}.`, remedy };
  }
  const isExpected =
    typeof spiffeId === "string" ? isSameSpiffeId(uri, spiffeId) : (spiffeId?.test(uri) ?? true);
  return isExpected ? undefined : { message: `The leaf is for ${uri}, not for ${String(spiffeId)}.`, remedy };
}

function identityIsAllowed({ credential: { chain }, allowed }: Candidate): Reason | undefined {
  const [uri = ""] = chain[0].uris;
  if (allowed.some((pattern) => pattern.test(uri))) return undefined;
  return {
    message: `The identity ${printable(uri)} is not allowed here.`,
    remedy: "Add it to the mesh's allowed identities for this namespace, or ask for one that is allowed.",
  };
}

function keyIsStrong({ credential: { chain } }: Candidate): Reason | undefined {
  for (const [index, certificate] of chain.entries()) {
    const x509 = certificate.x509();
    const name = `"${certificate.toString()}"`;
    const weak = keyProblem(certificate.subjectKeyInfo, index === 0 ? "leaf" : "authority");
    if (weak !== undefined) {
      return {
        message: `The key of ${name} is ${weak}.`,
        remedy: "Let the mesh use RSA with 2048 to 8192 bits, or EC on P-256, P-384 or P-521.",
      };
    }
    if (/md\d|sha-?1(?!\d)/i.test(x509.signatureAlgorithm ?? "")) {
      return {
        message: `The signature of ${name} is ${x509.signatureAlgorithm ?? ""}.`,
        remedy: "Let the mesh's CA sign with SHA-256 or better.",
      };
    }
  }
  return undefined;
}

/**
 * A replay is a leaf that began before the published one by more than the clocks may disagree, while the
 * published one would pass everything here itself: now, by the clock as it is, against the bundle just
 * received, for the identity that is now expected. So these are no replays:
 * - the leaf of a CA that was restored or set up again: the published one does not lead to its bundle;
 * - one after a repaired clock: the published one is not yet valid then, or the difference is within the
 *   skew;
 * - one with a shorter life: it ends earlier, but began later;
 * - an older one when the published one has ended: better than none.
 */
function notAReplay(candidate: Candidate): Reason | undefined {
  const { credential, published, clockSkewMs } = candidate;
  if (published === undefined) return undefined;
  const [received, current] = [credential.chain[0], published.chain[0]];
  if (received.notBefore.getTime() + clockSkewMs >= current.notBefore.getTime()) return undefined;
  const { publishedBundle: _, ...rest } = candidate;
  const again = { ...rest, credential: { ...published, bundle: credential.bundle }, clockSkewMs: 0 };
  const others = policies.filter(({ name }) => name !== "not-a-replay");
  if (others.some(({ check }) => check(again) !== undefined)) return undefined;
  return {
    message:
      `The leaf of ${received.notBefore.toISOString()} is older than the published one ` +
      `of ${current.notBefore.toISOString()}, which is still good.`,
    remedy:
      "See why the mesh or its agent sends an old certificate: a stale cache, a restored backup, or an attack.",
    reviewAt: current.notAfter,
  };
}

/** More than the largest private key, RSA with 16384 bits, takes: the key itself is not exported for this. */
const keyBytes = 20 * 1024;
