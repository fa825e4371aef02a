import { context, DerError, DerReader, type Element, tags } from "./der.ts";

export interface CertificateFields {
  /** 0: version 1. */
  readonly version: number;
  readonly serial: Buffer;
  readonly innerAlgorithm: Buffer;
  readonly outerAlgorithm: Buffer;
  readonly names: readonly Buffer[];
  readonly times: readonly Element[];
  readonly keyAlgorithm: Buffer;
  readonly key: Buffer;
  readonly publicKeyInfo: Buffer;
  readonly hasUniqueIds: boolean;
  /** Absent: the certificate has no extensions at all. */
  readonly extensions?: readonly ExtensionField[];
  /** Whether the list of extensions has the tag of a SEQUENCE without the bit for "constructed". */
  readonly hasPrimitiveExtensions: boolean;
}

export interface ExtensionField {
  /** The content of the OID's encoding, in hex. */
  readonly id: string;
  readonly oid: Buffer;
  readonly critical: Buffer | undefined;
  readonly value: Buffer;
}

/** The frame of RFC 5280, section 4.1, which both programs read alike. */
export function readCertificate(der: Buffer): CertificateFields {
  const outer = new DerReader(der);
  const certificate = outer.inside();
  outer.end();
  const tbs = certificate.inside();
  const outerAlgorithm = certificate.read(tags.sequence);
  bits(certificate.read(tags.bitString));
  certificate.end();
  const version = tbs.optional(context.constructed(0));
  const serial = tbs.read(tags.integer);
  const innerAlgorithm = tbs.read(tags.sequence);
  const issuer = tbs.read(tags.sequence);
  const validity = tbs.inside();
  const times = [validity.next(), validity.next()];
  validity.end();
  const subject = tbs.read(tags.sequence);
  const { whole: publicKeyInfo, body: keyInfo } = tbs.next();
  const info = new DerReader(keyInfo);
  const keyAlgorithm = info.read(tags.sequence);
  const key = bits(info.read(tags.bitString));
  info.end();
  const uniqueIds = [tbs.optional(context.primitive(1)), tbs.optional(context.primitive(2))];
  const field = tbs.optional(context.constructed(3));
  const hasPrimitiveExtensions = field?.[0] === tags.primitiveSequence;
  tbs.end();
  return {
    version:
      version === undefined ? 0 : smallInteger(new DerReader(version).read(tags.integer), "the version"),
    serial,
    innerAlgorithm,
    outerAlgorithm,
    names: [issuer, subject],
    times,
    keyAlgorithm,
    key,
    publicKeyInfo,
    hasUniqueIds: uniqueIds.some((id) => id !== undefined),
    hasPrimitiveExtensions,
    ...(field !== undefined && {
      extensions: extensionsIn(field, hasPrimitiveExtensions ? tags.primitiveSequence : tags.sequence),
    }),
  };
}

/** @param field holds a SEQUENCE of extensions, with this tag. */
export function extensionsIn(field: Buffer, tag: number = tags.sequence): ExtensionField[] {
  const outer = new DerReader(field);
  const list = outer.inside(tag);
  outer.end();
  const extensions: ExtensionField[] = [];
  while (!list.isAtEnd) {
    const extension = list.inside();
    const oid = extension.read(tags.oid);
    const critical = extension.optional(tags.boolean);
    extensions.push({ id: oid.toString("hex"), oid, critical, value: extension.read(tags.octetString) });
    extension.end();
  }
  return extensions;
}

/** OIDs by the hex of their content. */
export const ids = {
  rsa: "2a864886f70d010101",
  ec: "2a8648ce3d0201",
  ed25519: "2b6570",
  x25519: "2b656e",
  dsa: "2a8648ce380401",
  subjectKeyId: "551d0e",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  nameConstraints: "551d1e",
  crlDistributionPoints: "551d1f",
  certificatePolicies: "551d20",
  policyMappings: "551d21",
  authorityKeyId: "551d23",
  policyConstraints: "551d24",
  extendedKeyUsage: "551d25",
  inhibitAnyPolicy: "551d36",
  authorityInfoAccess: "2b06010505070101",
} as const;

export function refuse(problem: string): never {
  throw new DerError(problem);
}

/**
 * Whether the digits of a time, with or without century and seconds, are a day and an hour of the calendar.
 */
export function isDate(text: string): boolean {
  const digits = /^\d+/.exec(text)?.[0] ?? "";
  const full = digits.length === 14 ? digits : `${Number(digits.slice(0, 2)) < 50 ? "20" : "19"}${digits}`;
  const iso = full.padEnd(14, "0").replace(/^(....)(..)(..)(..)(..)(..)$/, "$1-$2-$3T$4:$5:$6.000Z");
  const date = new Date(iso);
  return !Number.isNaN(date.getTime()) && date.toISOString() === iso;
}

export function algorithm(body: Buffer): { readonly id: string; readonly parameters: Buffer } {
  const reader = new DerReader(body);
  const oid = reader.read(tags.oid);
  checkOid(oid);
  return { id: oid.toString("hex"), parameters: reader.isAtEnd ? Buffer.alloc(0) : reader.next().whole };
}

/** Each arc in its shortest form, and below 2^31, as Go keeps them. */
export function checkOid(oid: Buffer): void {
  if (oid.length === 0 || !isMinimalOid(oid)) refuse("a malformed OID");
  let arc = 0;
  for (const byte of oid) {
    arc = (byte & 0x80) === 0 ? 0 : arc * 128 + (byte & 0x7f);
    if (arc >= 2 ** 24) refuse("an OID with a number that Go does not hold");
  }
}

export function isMinimalOid(oid: Buffer): boolean {
  const isBegin = (index: number) => index === 0 || ((oid[index - 1] ?? 0) & 0x80) === 0;
  return ((oid.at(-1) ?? 0x80) & 0x80) === 0 && !oid.some((byte, index) => byte === 0x80 && isBegin(index));
}

export function boolean(body: Buffer): void {
  if (body.length !== 1 || (body[0] !== 0 && body[0] !== 0xff)) refuse("a BOOLEAN that is neither 00 nor FF");
}

export function isTrue(critical: Buffer | undefined): boolean {
  return critical?.[0] === 0xff;
}

/** The bits of a BIT STRING, whose unused ones must be zero. */
export function bits(body: Buffer, what = "a BIT STRING"): Buffer {
  const [unused = 8] = body;
  const last = body.length > 1 ? (body.at(-1) ?? 0) : 0;
  const isPadded = unused <= 7 && (unused === 0 || body.length > 1) && (last & ((1 << unused) - 1)) === 0;
  if (!isPadded) refuse(`${what} with unused bits that are set`);
  return body.subarray(1);
}

/**
 * Go shifts the bits of a key to the right by those that its last byte leaves unused: what is left is none. BoringSSL
 * refuses it where it reads the key.
 */
export function checkWholeBytes(publicKeyInfo: Buffer): void {
  const info = new DerReader(publicKeyInfo).inside();
  info.next();
  if (info.read(tags.bitString)[0] !== 0) refuse("a key that does not fill its last byte");
}

/** Not empty, in its shortest form. */
export function checkInteger(body: Buffer, what: string): void {
  const [first = 0, second = 0] = body;
  const isPadded = body.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
  if (body.length === 0 || isPadded) refuse(`${what} has an integer that is not in its shortest form`);
}

export function checkInt64(body: Buffer): void {
  checkInteger(body, "an extension");
  if (body.length > 8) refuse("a number in an extension that is too large");
}

function smallInteger(body: Buffer, what: string): number {
  checkInteger(body, what);
  if (body.length > 4 || isNegative(body)) refuse(`${what} is out of range`);
  return body.readUIntBE(0, body.length);
}

export function isNegative(body: Buffer): boolean {
  return ((body[0] ?? 0) & 0x80) !== 0;
}

export function isZero(body: Buffer): boolean {
  return body.every((byte) => byte === 0);
}

export function isAscii(body: Buffer): boolean {
  return body.every((byte) => byte < 0x80);
}
