import { createPrivateKey, createSecretKey, type KeyObject } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import { parseCertificates, parseRoots } from "./certificates.ts";
import { orderChain } from "./chain.ts";
import type { Credential } from "./credential.ts";
import { type Crls, parseCrls } from "./crl.ts";
import { CredentialError } from "./errors.ts";
import { parsePrivateKey } from "./keys.ts";
import type { Encoded } from "./pem.ts";
import { union } from "./trust-bundle.ts";

interface Pieces<Key, Certificates, Lists> {
  readonly key: Key;
  /**
   * The leaf and whatever came with it, in any order, with duplicates; a root among them is not trusted for
   * it.
   */
  readonly certificates: Certificates;
  readonly bundle: Certificates;
  readonly leftOut?: Credential["leftOut"];
  /** Certificate revocation lists. */
  readonly crls?: Lists;
  readonly renewalTime?: Date;
  /** An intermediate that has expired by then is left out. */
  readonly now: Date;
}

/**
 * Puts a credential together. Its leaf is the certificate of the key; if there is none, the first that is no
 * CA, which the policy `key-matches-leaf` then rejects with a better message than could be given here.
 * @throws CredentialError if `certificates` has no certificate, or far too many.
 */
export function assembleCredential(pieces: Pieces<KeyObject, readonly Certificate[], Crls>): Credential {
  const { key, bundle, leftOut = [], crls, renewalTime, now } = pieces;
  const certificates = union(pieces.certificates);
  const leaf =
    certificates.find((one) => one.x509().checkPrivateKey(key)) ??
    certificates.find((one) => !one.isCa) ??
    certificates[0];
  if (leaf === undefined) throw new CredentialError("no certificate");
  const chain = orderChain(leaf, certificates, now);
  return withKey(key, {
    chain,
    bundle: union(bundle),
    ...(leftOut.length > 0 && { leftOut }),
    ...(crls && { crls }),
    ...(renewalTime && { renewalTime }),
  });
}

/** Parses the key at each access: OpenSSL takes 4 KB for a private key, 50 times its DER. */
function withKey(key: KeyObject, rest: Omit<Credential, "key">): Credential {
  const der = createSecretKey(key.export({ type: "pkcs8", format: "der" }));
  return {
    get key() {
      return createPrivateKey({ key: der.export(), type: "pkcs8", format: "der" });
    },
    ...rest,
  };
}

/**
 * As {@link assembleCredential}, from PEM or DER.
 * @throws CredentialError if anything but the revocation lists is not what it should be.
 */
export function parseCredential(pieces: Pieces<Encoded, OneOrMore, OneOrMore>): Credential {
  const { key, certificates, bundle, crls, ...rest } = pieces;
  return assembleCredential({
    ...rest,
    ...named("trust bundle", () => parseRoots(...list(bundle))),
    ...(crls !== undefined && { crls: parseCrls(...list(crls)) }),
    key: named("private key", () => parsePrivateKey(key)),
    certificates: named("chain", () => parseCertificates(...list(certificates))),
  });
}

type OneOrMore = Encoded | readonly Encoded[];

function list(encoded: OneOrMore): readonly Encoded[] {
  return typeof encoded === "string" || encoded instanceof Uint8Array ? [encoded] : encoded;
}

/** Says which of the pieces an error is about. */
function named<T>(piece: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof CredentialError)) throw cause;
    throw new CredentialError(`${piece}: ${cause.problem}`, { cause, remedy: cause.remedy });
  }
}
