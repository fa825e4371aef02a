import { createHash, verify } from "node:crypto";
import { printable } from "../text/printable.ts";
import {
  bits,
  checkInteger,
  checkOid,
  type ExtensionField,
  extensionsIn,
  refuse,
} from "./certificate-fields.ts";
import type { Certificate } from "./certificate.ts";
import { mayBeKeyOf } from "./chain.ts";
import { context, DerError, DerReader, type Element, tags } from "./der.ts";
import { attributesOf, canonicalName } from "./distinguished-name.ts";
import { CredentialError } from "./errors.ts";
import { type AuthorityKeyId, authorityKeyId } from "./extensions.ts";
import { decodePem, type Encoded, encodePem, isDer } from "./pem.ts";
import { keyProblem } from "./public-key.ts";
import { Shared } from "./shared.ts";

/** What a mesh sends of certificates that it has revoked. */
export interface Crls {
  /** Each can be read by Envoy; who has signed it is not known yet. */
  readonly lists: readonly Crl[];
  /** Why others were left out, each as a sentence. */
  readonly problems: readonly string[];
}

/** Bounds on the work that a mesh makes: what it sends beyond is left out. */
export const maxCrls = 64;
export const maxCrlBytes = 128 * 1024;

/**
 * The certificate revocation lists in `inputs`: PEM, or one list in DER each. Those that Envoy might not read, or not
 * as attaché does, are left out: one such list makes Envoy refuse its whole configuration. Throws nothing.
 */
export function parseCrls(...inputs: readonly Encoded[]): Crls {
  const bytes = inputs.reduce((sum, input) => sum + input.length, 0);
  if (bytes > maxCrlBytes)
    return { lists: [], problems: [`They take ${bytes} bytes, more than ${maxCrlBytes}.`] };
  const problems: string[] = [];
  const attempt = <T>(what: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof DerError || error instanceof CredentialError)) throw error;
      problems.push(`${what}: ${error instanceof CredentialError ? error.problem : error.message}.`);
      return undefined;
    }
  };
  const ders = inputs.flatMap((input) =>
    isDer(input) ? [Buffer.from(input)] : (attempt("The revocation lists", () => blocksOf(input)) ?? []),
  );
  if (ders.length > maxCrls)
    problems.push(`Only the first ${maxCrls} of ${ders.length} revocation lists are read.`);
  const lists = ders.slice(0, maxCrls).flatMap((der, index) => {
    return (
      attempt(`Revocation list ${index + 1} of ${ders.length} has`, () =>
        shared.get(der, () => new Crl(der)),
      ) ?? []
    );
  });
  return { lists, problems };
}

const shared = new Shared<Crl>();

function blocksOf(input: Encoded): Buffer[] {
  return decodePem(input).flatMap(({ label, der }) => (label === "X509 CRL" ? [der] : []));
}

/**
 * A certificate revocation list (RFC 5280, section 5) of the kind that all verifiers read alike: complete, for all
 * certificates of one CA, signed by that CA, with a next update.
 */
export class Crl {
  readonly der: Buffer;
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly #content: Content;
  readonly #candidates = new WeakMap<Certificate, boolean>();
  /** Whether a key has signed it, by SubjectPublicKeyInfo. */
  readonly #signatures = new Map<string, boolean>();

  /** @throws DerError if it is another kind of list, or none. */
  constructor(der: Buffer) {
    this.der = der;
    this.#content = readCrl(der);
    this.fingerprint = createHash("sha256").update(der).digest("hex");
    this.thisUpdate = this.#content.thisUpdate;
    this.nextUpdate = this.#content.nextUpdate;
  }

  /** Whether it says that the certificate of this serial number, of its issuer, is revoked. */
  revokes({ serial }: Certificate): boolean {
    return this.#content.revoked.has(serial.toString("latin1"));
  }

  /** Whether Envoy would look into it for certificates of `issuer`, as far as names and key identifiers tell. */
  mayBeOf(issuer: Certificate): boolean {
    const known = this.#candidates.get(issuer);
    if (known !== undefined) return known;
    const { issuerDer, keyId } = this.#content;
    const mayBe = canonicalName(issuerDer) === canonicalName(issuer.subjectDer) && mayBeKeyOf(issuer, keyId);
    this.#candidates.set(issuer, mayBe);
    return mayBe;
  }

  /** Whether `issuer` has signed it, and may. Of many CAs with its name, only the first keys are tried. */
  isOf(issuer: Certificate): boolean {
    if (!this.mayBeOf(issuer) || !this.#content.issuerDer.equals(issuer.subjectDer)) return false;
    if (issuer.extensions.keyUsage?.has("cRLSign") === false) return false;
    const key = issuer.subjectKeyInfo.toString("latin1");
    const known = this.#signatures.get(key);
    if (known !== undefined || this.#signatures.size === maxKeys) return known ?? false;
    const isSigned = this.#isSignedBy(issuer);
    this.#signatures.set(key, isSigned);
    return isSigned;
  }

  #isSignedBy(issuer: Certificate): boolean {
    const { tbs, digest, signature } = this.#content;
    // A hostile key takes milliseconds.
    if (keyProblem(issuer.subjectKeyInfo, "root") !== undefined) return false;
    try {
      return verify(digest, tbs, issuer.x509().publicKey, signature);
    } catch {
      // The key is of another kind than the signature.
      return false;
    }
  }

  toPem(): string {
    return encodePem("X509 CRL", this.der);
  }

  /** Its issuer, printable and short. */
  toString(): string {
    return printable(
      attributesOf(this.#content.issuerDer)
        .map(({ text }) => text)
        .join(", "),
    );
  }

  toJSON(): string {
    return this.fingerprint;
  }
}

/** Each costs a signature. */
const maxKeys = 4;

interface Content {
  readonly issuerDer: Buffer;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly keyId: AuthorityKeyId | undefined;
  /** Serial numbers as they stand there, in latin1. */
  readonly revoked: ReadonlySet<string>;
  readonly tbs: Buffer;
  readonly digest: string | null;
  readonly signature: Buffer;
}

function readCrl(der: Buffer): Content {
  const outer = new DerReader(der);
  const list = outer.inside();
  outer.end();
  const { tag: frame, whole: tbs, body } = list.next();
  const algorithm = list.next().whole;
  const signature = bits(list.read(tags.bitString));
  list.end();
  if (frame !== tags.sequence) refuse("no list inside");
  const fields = new DerReader(body);
  const version = fields.optional(tags.integer);
  if (version !== undefined && !version.equals(version2)) refuse("a version that does not exist");
  if (!fields.next().whole.equals(algorithm)) refuse("two different signature algorithms");
  const digest = digests.get(algorithm.toString("hex"));
  if (digest === undefined) refuse("a signature of a kind that attaché does not verify");
  const { tag, whole: issuerDer } = fields.next();
  if (tag !== tags.sequence || attributesOf(issuerDer).length === 0) refuse("no issuer");
  const thisUpdate = timeOf(fields.next());
  if (fields.tag !== tags.utcTime && fields.tag !== tags.generalizedTime) refuse("no next update");
  const nextUpdate = timeOf(fields.next());
  const revoked = serialsIn(fields.optional(tags.sequence), version !== undefined);
  const extensions = fields.optional(context.constructed(0));
  fields.end();
  if (extensions !== undefined && version === undefined) refuse("version 1 with extensions");
  const keyId = keyIdIn(extensions === undefined ? [] : plainExtensions(extensions));
  return { issuerDer, thisUpdate, nextUpdate, keyId, revoked, tbs, digest, signature };
}

const version2 = Buffer.of(1);

/** The digest of each signature that is verified, by the whole AlgorithmIdentifier; `null`: it names none. */
const digests: ReadonlyMap<string, string | null> = new Map([
  ["300a06082a8648ce3d040302", "sha256"],
  ["300a06082a8648ce3d040303", "sha384"],
  ["300a06082a8648ce3d040304", "sha512"],
  ["300d06092a864886f70d01010b0500", "sha256"],
  ["300d06092a864886f70d01010c0500", "sha384"],
  ["300d06092a864886f70d01010d0500", "sha512"],
  ["300506032b6570", null],
]);

/** In UTC, with seconds: what RFC 5280 allows. There may be thousands, so nothing is parsed that need not be. */
function timeOf({ tag, body }: Element): Date {
  const yearDigits = tag === tags.utcTime ? 2 : 4;
  const isTime = tag === tags.utcTime || tag === tags.generalizedTime;
  if (!isTime || body.length !== yearDigits + 11 || body.at(-1) !== 0x5a) refuse("a malformed time");
  const digits = body.subarray(0, -1);
  if (digits.some((byte) => byte < 0x30 || byte > 0x39)) refuse("a malformed time");
  const pair = (at: number) => ((digits[at] ?? 0) - 0x30) * 10 + (digits[at + 1] ?? 0) - 0x30;
  const year = yearDigits === 4 ? pair(0) * 100 + pair(2) : pair(0) + (pair(0) < 50 ? 2000 : 1900);
  const [month = 0, day = 0, ...time] = [0, 2, 4, 6, 8].map((at) => pair(yearDigits + at));
  const [hour = 0, minute = 0, second = 0] = time;
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  const isDate = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && minute < 60 && second < 60;
  if (!isDate || date.getUTCFullYear() !== year) refuse("a time that is no date");
  return date;
}

function serialsIn(list: Buffer | undefined, mayHaveExtensions: boolean): ReadonlySet<string> {
  const serials = new Set<string>();
  if (list === undefined) return serials;
  for (const entries = new DerReader(list); !entries.isAtEnd;) {
    const entry = entries.inside();
    const serial = entry.read(tags.integer);
    checkInteger(serial, "a serial number");
    timeOf(entry.next());
    if (!entry.isAtEnd) {
      if (!mayHaveExtensions) refuse("version 1 with extensions");
      for (const { id, value } of plainExtensions(entry.next().whole)) {
        if (id === extensionIds.certificateIssuer) refuse("entries for other issuers");
        if (id === extensionIds.reason && !isReason(value)) refuse("a malformed reason");
      }
      entry.end();
    }
    serials.add(serial.toString("latin1"));
  }
  return serials;
}

/** An ENUMERATED of RFC 5280, section 5.3.1; one that takes back a revocation stands in delta lists only. */
function isReason(value: Buffer): boolean {
  const [tag, length, reason = 255] = value;
  return value.length === 3 && tag === 0x0a && length === 1 && reason <= 10 && reason !== 7 && reason !== 8;
}

/** A critical one limits what a list or an entry is about, and verifiers differ: such lists are not used. */
function plainExtensions(field: Buffer): ExtensionField[] {
  const extensions = extensionsIn(field);
  if (extensions.length === 0) refuse("an empty list of extensions");
  if (new Set(extensions.map(({ id }) => id)).size < extensions.length) refuse("the same extension twice");
  for (const { oid, critical } of extensions) {
    checkOid(oid);
    if (critical !== undefined) refuse("a critical extension");
  }
  return extensions;
}

function keyIdIn(extensions: readonly ExtensionField[]): AuthorityKeyId | undefined {
  let keyId: AuthorityKeyId | undefined;
  for (const { id, value } of extensions) {
    if (id === extensionIds.scope || id === extensionIds.delta) refuse("a scope of its own");
    const content = new DerReader(value);
    if (id === extensionIds.number) checkInteger(content.read(tags.integer), "the list number");
    else if (id === extensionIds.authorityKeyId) keyId = authorityKeyId(content);
    else continue;
    content.end();
  }
  return keyId;
}

/** Of lists and their entries: 2.5.29.N, the hex of the OID's content. */
const extensionIds = {
  number: "551d14",
  reason: "551d15",
  delta: "551d1b",
  scope: "551d1c",
  certificateIssuer: "551d1d",
  authorityKeyId: "551d23",
} as const;
