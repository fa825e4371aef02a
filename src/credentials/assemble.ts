import { createPrivateKey, createSecretKey, type KeyObject } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import { certificatesIn, rootsIn } from "./certificates.ts";
import { orderChain } from "./chain.ts";
import type { Credential } from "./credential.ts";
import { type Crls, parseCrls } from "./crl.ts";
import { CredentialError } from "./errors.ts";
import { parsePrivateKey } from "./keys.ts";
import type { Encoded } from "./pem.ts";
import { union } from "./trust-bundle.ts";
import { atOnce, inSlices } from "../runtime/time-slice.ts";

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

/** The key that was asked for last: a verdict and a publication ask several times. */
let last: { readonly of: KeyObject; readonly key: KeyObject } | undefined;

/** Parses the key when it is asked for: OpenSSL takes 4 KB for a private key, 50 times its DER. */
function withKey(key: KeyObject, rest: Omit<Credential, "key">): Credential {
  const der = createSecretKey(key.export({ type: "pkcs8", format: "der" }));
  last = { of: der, key };
  return {
    get key() {
      if (last?.of !== der)
        last = { of: der, key: createPrivateKey({ key: der.export(), type: "pkcs8", format: "der" }) };
      return last.key;
    },
    ...rest,
  };
}

/**
 * As {@link assembleCredential}, from PEM or DER.
 * @throws CredentialError if anything but the revocation lists is not what it should be.
 */
export function parseCredential(pieces: EncodedPieces): Credential {
  return atOnce(credentialOf(pieces));
}

/** As {@link parseCredential}, in slices between which the event loop has a turn. */
export async function readCredential(pieces: EncodedPieces): Promise<Credential> {
  return inSlices(credentialOf(pieces));
}

type EncodedPieces = Pieces<Encoded, OneOrMore, OneOrMore>;

/** In steps of one certificate. */
function* credentialOf(pieces: EncodedPieces): Generator<undefined, Credential> {
  const { key, certificates, bundle, crls, ...rest } = pieces;
  const listed = yield* named("trust bundle", rootsIn(list(bundle)));
  return assembleCredential({
    ...rest,
    ...listed,
    ...(crls !== undefined && { crls: parseCrls(...list(crls)) }),
    key: yield* named("private key", keyIn(key)),
    certificates: yield* named("chain", certificatesIn(list(certificates))),
  });
}

function* keyIn(key: Encoded): Generator<undefined, KeyObject> {
  yield;
  return parsePrivateKey(key);
}

type OneOrMore = Encoded | readonly Encoded[];

function list(encoded: OneOrMore): readonly Encoded[] {
  return typeof encoded === "string" || encoded instanceof Uint8Array ? [encoded] : encoded;
}

/** Says which of the pieces an error is about. */
function* named<T>(piece: string, steps: Generator<undefined, T>): Generator<undefined, T> {
  try {
    return yield* steps;
  } catch (cause) {
    if (!(cause instanceof CredentialError)) throw cause;
    throw new CredentialError(`${piece}: ${cause.problem}`, { cause, remedy: cause.remedy });
  }
}
