import { createHash, type KeyObject, randomBytes, sign } from "node:crypto";

/**
 * Writes DER (X.690) exactly as asked, and certificates (RFC 5280) of it: for development authorities and
 * tests. About a tenth of a millisecond a certificate, where a general ASN.1 library takes five.
 */
export function tlv(tag: number, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)),
  );
  return Buffer.concat([Buffer.from([tag, ...length(body.length)]), body]);
}

function length(bytes: number): number[] {
  if (bytes < 0x80) return [bytes];
  const digits = base(256, bytes);
  return [0x80 | digits.length, ...digits];
}

export const sequence = (...parts: readonly Buffer[]) => tlv(0x30, ...parts);
export const set = (...parts: readonly Buffer[]) => tlv(0x31, ...parts);
export const integer = (...bytes: readonly number[]) => tlv(2, Buffer.from(bytes));
export const bitString = (unused: number, ...bytes: readonly number[]) =>
  tlv(3, Buffer.from([unused, ...bytes]));
export const octetString = (...parts: readonly (string | Buffer)[]) => tlv(4, ...parts);
export const boolean = (byte = 0xff) => tlv(1, Buffer.from([byte]));
/** `[n]` of a constructed value. */
export const explicit = (number: number, ...parts: readonly Buffer[]) => tlv(0xa0 | number, ...parts);
/** `[n]` of a primitive value. */
export const implicit = (number: number, value: string | Buffer) => tlv(0x80 | number, value);

export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const arcs = [first * 40 + second, ...rest].map((arc) => base(128, arc));
  return tlv(
    6,
    Buffer.from(
      arcs.flatMap((digits) => [...digits.slice(0, -1).map((digit) => digit | 0x80), ...digits.slice(-1)]),
    ),
  );
}

/** The digits of a number, the highest first. */
function base(radix: number, value: number): number[] {
  const higher = Math.floor(value / radix);
  return [...(higher > 0 ? base(radix, higher) : []), value % radix];
}

export const utcTime = (date: Date) => tlv(0x17, `${digits(date).slice(2)}Z`);
export const generalizedTime = (date: Date) => tlv(0x18, `${digits(date)}Z`);

function digits(date: Date): string {
  return date.toISOString().replace(/[-:T]/g, "").slice(0, 14);
}

/** A name with one attribute, `commonName` with this value. */
export const commonName = (value: Buffer) => sequence(set(sequence(oid("2.5.4.3"), value)));

export function extension(id: string, value: string | Buffer, critical?: Buffer): Buffer {
  return sequence(oid(id), ...(critical === undefined ? [] : [critical]), octetString(value));
}

export const names = (...values: readonly Buffer[]) => extension("2.5.29.17", sequence(...values));
export const uriName = (uri: string) => implicit(6, uri);
export const dnsName = (dns: string) => implicit(2, dns);

/** Subject and authority key identifiers of two SubjectPublicKeyInfos. */
export function keyIdentifiers(subject: Buffer, issuer: Buffer): readonly [Buffer, Buffer] {
  const idOf = (key: Buffer) => createHash("sha1").update(key).digest();
  return [
    extension("2.5.29.14", octetString(idOf(subject))),
    extension("2.5.29.35", sequence(implicit(0, idOf(issuer)))),
  ];
}

export interface Certified {
  /** A Name, as {@link commonName} makes one. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** Fractions of seconds are cut. */
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  readonly extensions: readonly Buffer[];
  /** A positive random number by default. */
  readonly serialNumber?: Buffer;
}

export const ecdsaWithSha256 = sequence(oid("1.2.840.10045.4.3.2"));

/**
 * A certificate of version 3, in DER.
 * @param algorithm the AlgorithmIdentifier of the signature that `key` makes with `digest`.
 */
export function signCertificate(
  { issuer, subject, notBefore, notAfter, publicKey, extensions, serialNumber }: Certified,
  key: KeyObject,
  { algorithm, digest }: { readonly algorithm: Buffer; readonly digest: string | null } = sha256,
): Buffer {
  const serial = serialNumber ?? Buffer.concat([Buffer.of(0x40), randomBytes(15)]);
  return signTbs(
    sequence(
      explicit(0, integer(2)),
      tlv(2, serial),
      algorithm,
      issuer,
      sequence(time(notBefore), time(notAfter)),
      subject,
      publicKey,
      explicit(3, sequence(...extensions)),
    ),
    { algorithm, digest, key },
  );
}

const sha256 = { algorithm: ecdsaWithSha256, digest: "sha256" };

/** Signs a TBSCertificate. */
export function signTbs(
  tbs: Buffer,
  {
    algorithm,
    digest,
    key,
  }: { readonly algorithm: Buffer; readonly digest: string | null; readonly key: KeyObject },
): Buffer {
  return sequence(tbs, algorithm, tlv(3, Buffer.of(0), sign(digest, tbs, key)));
}

/** RFC 5280, 4.1.2.5: UTCTime through 2049. */
function time(date: Date): Buffer {
  return date.getUTCFullYear() < 2050 ? utcTime(date) : generalizedTime(date);
}
