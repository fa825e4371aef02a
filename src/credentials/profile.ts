import { createPublicKey } from "node:crypto";
import { isIP } from "node:net";
import { isUtf8 } from "node:buffer";
import { context, DerError, DerReader, type Element, tags } from "./der.ts";

/**
 * Whether the programs behind attaché accept a certificate: Envoy (BoringSSL), which refuses a whole configuration for one
 * certificate that it cannot read, and Emissary (Go's crypto/x509), which drops the Secret. attaché itself reads with OpenSSL,
 * which is more lenient than either.
 *
 * The rules are those of BoringSSL's crypto/x509 as in Envoy 1.38 and of Go 1.26's crypto/x509 (parser.go); peer tests hold them
 * against both programs. Each field is the reason, as the middle of a sentence; absent where the program accepts the certificate.
 */
export interface Profile {
  readonly envoy?: string;
  readonly go?: string;
}

/**
 * @param der one certificate that OpenSSL can read.
 * @param role "leaf": presented with a key; "authority": an intermediate or a root.
 */
export function profileOf(der: Buffer, role: "leaf" | "authority"): Profile {
  let certificate: Certificate;
  try {
    certificate = readCertificate(der);
  } catch (error) {
    const problem = problemOf(error);
    return { envoy: problem, go: problem };
  }
  const envoy = problemIn(() => checkForEnvoy(certificate, role));
  const go = problemIn(() => checkForGo(certificate));
  return envoy === undefined && go === undefined
    ? accepted
    : { ...(envoy !== undefined && { envoy }), ...(go !== undefined && { go }) };
}

const accepted: Profile = {};

function problemIn(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return problemOf(error);
  }
}

function problemOf(error: unknown): string {
  if (error instanceof DerError) return error.message;
  throw error;
}

interface Certificate {
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
  readonly extensions?: readonly Extension[];
}

interface Extension {
  /** The content of the OID's encoding, in hex. */
  readonly id: string;
  readonly oid: Buffer;
  readonly critical: Buffer | undefined;
  readonly value: Buffer;
}

function refuse(problem: string): never {
  throw new DerError(problem);
}

/** The frame of RFC 5280, section 4.1, which both programs read alike. */
function readCertificate(der: Buffer): Certificate {
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
    ...(field !== undefined && { extensions: extensionsOf(field) }),
  };
}

function extensionsOf(field: Buffer): Extension[] {
  const outer = new DerReader(field);
  const list = outer.inside();
  outer.end();
  const extensions: Extension[] = [];
  while (!list.isAtEnd) {
    const extension = list.inside();
    const oid = extension.read(tags.oid);
    const critical = extension.optional(tags.boolean);
    extensions.push({ id: oid.toString("hex"), oid, critical, value: extension.read(tags.octetString) });
    extension.end();
  }
  return extensions;
}

function checkForEnvoy(certificate: Certificate, role: "leaf" | "authority"): void {
  const { version, hasUniqueIds, extensions, names, times, serial } = certificate;
  checkInteger(serial, "the serial number");
  for (const parameters of [certificate.innerAlgorithm, certificate.keyAlgorithm].map(
    (one) => algorithm(one).parameters,
  )) {
    if (parameters[0] === tags.utf8String && !isUtf8(new DerReader(parameters).next().body))
      refuse("malformed parameters");
  }
  if (version > 2) refuse(`version ${version + 1}, which does not exist`);
  if (version === 0 && hasUniqueIds) refuse("version 1 with unique identifiers");
  if (version !== 2 && extensions !== undefined) refuse(`version ${version + 1} with extensions`);
  for (const name of names) {
    for (const values = new DerReader(name); !values.isAtEnd;) {
      if (values.read(tags.set).length === 0) refuse("a name with an empty part");
    }
  }
  for (const { tag, body } of times) {
    const text = body.toString("latin1");
    const form = tag === tags.utcTime ? /^\d{12}(?:Z|[+-](?:0\d|1[0-2])[0-5]\d)$/ : /^\d{14}Z$/;
    if (!form.test(text) || !isDate(text)) {
      refuse(`the time ${JSON.stringify(text)}, which is not in the form of RFC 5280`);
    }
  }
  const usage = role === "leaf" ? extensions?.find(({ id }) => id === ids.keyUsage) : undefined;
  if (usage !== undefined) checkKeyUsage(usage.value);
}

function checkForGo(certificate: Certificate): void {
  const { version, serial, innerAlgorithm, outerAlgorithm, names, times, extensions = [] } = certificate;
  if (version > 2) refuse(`version ${version + 1}, which does not exist`);
  checkInteger(serial, "the serial number");
  if (isNegative(serial)) refuse("a negative serial number");
  if (!innerAlgorithm.equals(outerAlgorithm)) refuse("two different signature algorithms");
  algorithm(innerAlgorithm);
  names.forEach(checkNameForGo);
  times.forEach(checkTimeForGo);
  checkKeyForGo(certificate);
  if (version !== 2) return;
  const seen = new Set<string>();
  for (const extension of extensions) {
    checkOid(extension.oid);
    if (seen.has(extension.id)) refuse("the same extension twice");
    seen.add(extension.id);
    if (extension.critical !== undefined) boolean(extension.critical);
    extensionChecks.get(extension.id)?.(extension);
  }
}

function checkNameForGo(name: Buffer): void {
  for (const parts = new DerReader(name); !parts.isAtEnd;) {
    for (const part = parts.inside(tags.set); !part.isAtEnd;) {
      const attribute = part.inside();
      checkOid(attribute.read(tags.oid));
      checkString(attribute.next());
    }
  }
}

function checkString({ tag, body }: Element): void {
  const check = stringChecks.get(tag);
  if (check === undefined) refuse(`a name with a value of the type 0x${tag.toString(16).padStart(2, "0")}`);
  if (!check(body)) refuse("a name whose text is not of its own type");
}

const stringChecks: ReadonlyMap<number, (body: Buffer) => boolean> = new Map([
  [tags.t61String, () => true],
  // Go also lets * and & pass, which are common.
  [tags.printableString, (body) => /^[A-Za-z0-9 '()+,\-./:=?*&]*$/.test(body.toString("latin1"))],
  [tags.utf8String, (body) => isUtf8(body)],
  [tags.bmpString, isBmp],
  [tags.ia5String, isAscii],
  [tags.numericString, (body) => /^[0-9 ]*$/.test(body.toString("latin1"))],
]);

/** UCS-2 without surrogates and noncharacters. */
function isBmp(body: Buffer): boolean {
  if (body.length % 2 !== 0) return false;
  const points = Array.from({ length: body.length / 2 }, (_, index) => body.readUInt16BE(index * 2));
  return points.every(
    (point) => point < 0xd800 || (point > 0xdfff && point < 0xfdd0) || (point > 0xfdef && point < 0xfffe),
  );
}

function isAscii(body: Buffer): boolean {
  return body.every((byte) => byte < 0x80);
}

function checkTimeForGo({ tag, body }: Element): void {
  const text = body.toString("latin1");
  const form = tag === tags.utcTime ? utcTime : tag === tags.generalizedTime ? generalizedTime : undefined;
  if (form?.test(text) !== true || !isDate(text))
    refuse(`the time ${JSON.stringify(text)}, which Go does not read`);
}

/** Whether the digits of a time, with or without century and seconds, are a day and an hour of the calendar. */
function isDate(text: string): boolean {
  const digits = /^\d+/.exec(text)?.[0] ?? "";
  const full = digits.length === 14 ? digits : `${Number(digits.slice(0, 2)) < 50 ? "20" : "19"}${digits}`;
  const iso = full.padEnd(14, "0").replace(/^(....)(..)(..)(..)(..)(..)$/, "$1-$2-$3T$4:$5:$6.000Z");
  const date = new Date(iso);
  return !Number.isNaN(date.getTime()) && date.toISOString() === iso;
}

/** Go reads an offset, but not one that it would write as Z. */
const offset = "(?:Z|[+-](?!0000)(?:[01]\\d|2[0-3])[0-5]\\d)";
const utcTime = new RegExp(`^\\d{10}(?:\\d\\d)?${offset}$`);
const generalizedTime = new RegExp(`^\\d{14}${offset}$`);

function checkKeyForGo({ keyAlgorithm, key, publicKeyInfo }: Certificate): void {
  const { id, parameters } = algorithm(keyAlgorithm);
  switch (id) {
    case ids.rsa: {
      if (!parameters.equals(Buffer.from([tags.null, 0]))) refuse("an RSA key without NULL parameters");
      const numbers = new DerReader(key).inside();
      const modulus = numbers.read(tags.integer);
      const exponent = numbers.read(tags.integer);
      [modulus, exponent].forEach((number) => checkInteger(number, "the RSA key"));
      if (isNegative(modulus) || isZero(modulus)) refuse("an RSA modulus that is not positive");
      if (isNegative(exponent) || isZero(exponent) || exponent.length > 8)
        refuse("an RSA exponent that is no positive number");
      return;
    }
    case ids.ec: {
      const curve = new DerReader(parameters).read(tags.oid).toString("hex");
      if (!curves.has(curve)) refuse("an EC key on a curve that Go does not know");
      if (key[0] !== 4) refuse("an EC key that is compressed or malformed");
      checkPoint(publicKeyInfo);
      return;
    }
    case ids.ed25519:
    case ids.x25519:
      if (parameters.length > 0) refuse("a key with parameters where none belong");
      if (key.length !== 32) refuse("a key of the wrong size");
      return;
    case ids.dsa:
      return refuse("a DSA key");
  }
}

/** OpenSSL knows whether the point is on the curve. */
function checkPoint(publicKeyInfo: Buffer): void {
  try {
    createPublicKey({ key: publicKeyInfo, format: "der", type: "spki" });
  } catch {
    refuse("an EC key that is not on its curve");
  }
}

/** OIDs by the hex of their content. */
const ids = {
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

/** P-224, P-256, P-384, P-521. */
const curves = new Set(["2b81040021", "2a8648ce3d030107", "2b81040022", "2b81040023"]);

/** What Go reads of each extension that it knows (RFC 5280, section 4.2). */
const extensionChecks: ReadonlyMap<string, (extension: Extension) => void> = new Map([
  [
    ids.keyUsage,
    ({ value }: Extension) => void bits(new DerReader(value).read(tags.bitString), "the key usage"),
  ],
  [ids.basicConstraints, ({ value }) => checkBasicConstraints(value)],
  [ids.subjectAltName, ({ value }) => checkAltNames(value)],
  [ids.nameConstraints, ({ value }) => checkNameConstraints(value)],
  [ids.crlDistributionPoints, ({ value }) => checkDistributionPoints(value)],
  [ids.authorityKeyId, (extension) => checkAuthorityKeyId(extension)],
  [ids.subjectKeyId, (extension) => checkSubjectKeyId(extension)],
  [ids.policyConstraints, ({ value }) => checkPolicyConstraints(value)],
  [ids.extendedKeyUsage, ({ value }) => each(value, (list) => checkOid(list.read(tags.oid)))],
  [ids.certificatePolicies, ({ value }) => checkPolicies(value)],
  [
    ids.policyMappings,
    ({ value }) =>
      each(value, (list) => {
        const mapping = list.inside();
        mapping.read(tags.oid);
        mapping.read(tags.oid);
      }),
  ],
  [ids.inhibitAnyPolicy, ({ value }) => checkInt64(new DerReader(value).read(tags.integer))],
  [ids.authorityInfoAccess, (extension) => checkInfoAccess(extension)],
]);

function checkBasicConstraints(value: Buffer): void {
  const constraints = new DerReader(value).inside();
  const isCa = constraints.optional(tags.boolean);
  if (isCa !== undefined) boolean(isCa);
  const length = constraints.optional(tags.integer);
  if (length === undefined) return;
  checkInt64(length);
  if (isNegative(length)) refuse("a negative path length");
}

function checkAltNames(value: Buffer): void {
  each(value, (list) => {
    const { tag, body } = list.next();
    switch (tag) {
      case context.primitive(1):
      case context.primitive(2):
        if (!isAscii(body)) refuse("an alternative name that is not ASCII");
        return;
      case context.primitive(6):
        if (!isAscii(body) || !isPlainUri(body.toString("latin1")))
          refuse("a URI name that Go does not read");
        return;
      case context.primitive(7):
        if (body.length !== 4 && body.length !== 16) refuse(`an IP address of ${body.length} bytes`);
    }
  });
}

/** Narrower than Go's url.Parse, which has many cases: a scheme, a host of a domain's form, a path without odd characters. */
function isPlainUri(text: string): boolean {
  const [, host] =
    /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([A-Za-z0-9._-]*)(?:\/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*)?$/.exec(text) ?? [];
  return host !== undefined && (host === "" || isDomain(host));
}

/** What Go takes for a domain: printable labels, none of them empty. A constraint may begin with a dot. */
function isDomain(text: string): boolean {
  return text === "" || /^\.?(?:[!-\-/-~]+\.)*[!-\-/-~]+$/.test(text);
}

function checkNameConstraints(value: Buffer): void {
  const outer = new DerReader(value);
  const constraints = outer.inside();
  outer.end();
  const subtrees = [
    constraints.optional(context.constructed(0)),
    constraints.optional(context.constructed(1)),
  ];
  constraints.end();
  if (subtrees.every((one) => one === undefined || one.length === 0)) refuse("empty name constraints");
  for (const subtree of subtrees.filter((one) => one !== undefined)) {
    for (const list = new DerReader(subtree); !list.isAtEnd;) checkConstraint(list.inside().next());
  }
}

function checkConstraint({ tag, body }: Element): void {
  const text = body.toString("latin1");
  const isName = isDomain(text);
  switch (tag) {
    case context.primitive(2):
      if (!isName) refuse("a name constraint that is no DNS domain");
      return;
    case context.primitive(1):
      if (!isName && !/^[A-Za-z0-9._+-]+@/.test(text)) {
        refuse("a name constraint that is no mailbox and no domain");
      }
      return;
    case context.primitive(6):
      if (!isName || isIP(text) !== 0) refuse("a name constraint that is no domain of URIs");
      return;
    case context.primitive(7):
      if (body.length !== 8 && body.length !== 32)
        refuse(`a name constraint with an IP range of ${body.length} bytes`);
      if (!isMask(body.subarray(body.length / 2))) refuse("a name constraint with an IP mask that has gaps");
  }
}

function isMask(mask: Buffer): boolean {
  return /^1*0*$/.test([...mask].map((byte) => byte.toString(2).padStart(8, "0")).join(""));
}

function checkDistributionPoints(value: Buffer): void {
  each(value, (list) => {
    const name = list.inside().optional(context.constructed(0));
    if (name === undefined) return;
    const uris = new DerReader(new DerReader(name).read(context.constructed(0)));
    while (uris.tag === context.primitive(6)) uris.next();
  });
}

function checkAuthorityKeyId({ critical, value }: Extension): void {
  if (isTrue(critical)) refuse("an authority key identifier that is marked critical");
  new DerReader(value).inside().optional(context.primitive(0));
}

function checkSubjectKeyId({ critical, value }: Extension): void {
  if (isTrue(critical)) refuse("a subject key identifier that is marked critical");
  new DerReader(value).read(tags.octetString);
}

function checkPolicyConstraints(value: Buffer): void {
  const constraints = new DerReader(value).inside();
  for (const number of [0, 1]) {
    const skipped = constraints.optional(context.primitive(number));
    if (skipped !== undefined) checkInt64(skipped);
  }
}

function checkPolicies(value: Buffer): void {
  const seen = new Set<string>();
  each(value, (list) => {
    const oid = list.inside().read(tags.oid);
    if (oid.length === 0 || !isMinimalOid(oid) || seen.has(oid.toString("hex")))
      refuse("certificate policies that are malformed");
    seen.add(oid.toString("hex"));
  });
}

function checkInfoAccess({ critical, value }: Extension): void {
  if (isTrue(critical)) refuse("authority information access that is marked critical");
  each(value, (list) => {
    const description = list.inside();
    checkOid(description.read(tags.oid));
    description.optional(context.primitive(6));
  });
}

/** The elements of a SEQUENCE, one after the other. */
function each(value: Buffer, check: (list: DerReader) => void): void {
  for (const list = new DerReader(value).inside(); !list.isAtEnd;) check(list);
}

function algorithm(body: Buffer): { readonly id: string; readonly parameters: Buffer } {
  const reader = new DerReader(body);
  const oid = reader.read(tags.oid);
  checkOid(oid);
  return { id: oid.toString("hex"), parameters: reader.isAtEnd ? Buffer.alloc(0) : reader.next().whole };
}

/** Each arc in its shortest form, and below 2^31, as Go keeps them. */
function checkOid(oid: Buffer): void {
  if (oid.length === 0 || !isMinimalOid(oid)) refuse("a malformed OID");
  let arc = 0;
  for (const byte of oid) {
    arc = (byte & 0x80) === 0 ? 0 : arc * 128 + (byte & 0x7f);
    if (arc >= 2 ** 24) refuse("an OID with a number that Go does not hold");
  }
}

function isMinimalOid(oid: Buffer): boolean {
  const isBegin = (index: number) => index === 0 || ((oid[index - 1] ?? 0) & 0x80) === 0;
  return ((oid.at(-1) ?? 0x80) & 0x80) === 0 && !oid.some((byte, index) => byte === 0x80 && isBegin(index));
}

function boolean(body: Buffer): void {
  if (body.length !== 1 || (body[0] !== 0 && body[0] !== 0xff)) refuse("a BOOLEAN that is neither 00 nor FF");
}

function isTrue(critical: Buffer | undefined): boolean {
  return critical?.[0] === 0xff;
}

/** The bits of a BIT STRING, whose unused ones must be zero. */
function bits(body: Buffer, what = "a BIT STRING"): Buffer {
  const [unused = 8] = body;
  const last = body.length > 1 ? (body.at(-1) ?? 0) : 0;
  const isPadded = unused <= 7 && (unused === 0 || body.length > 1) && (last & ((1 << unused) - 1)) === 0;
  if (!isPadded) refuse(`${what} with unused bits that are set`);
  return body.subarray(1);
}

/** BoringSSL reads the key usage of what it presents, and refuses an empty one. */
function checkKeyUsage(value: Buffer): void {
  const reader = new DerReader(value);
  if (isZero(bits(reader.read(tags.bitString), "the key usage"))) refuse("an empty key usage");
  reader.end();
}

/** Not empty, in its shortest form. */
function checkInteger(body: Buffer, what: string): void {
  const [first = 0, second = 0] = body;
  const isPadded = body.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
  if (body.length === 0 || isPadded) refuse(`${what} has an integer that is not in its shortest form`);
}

function checkInt64(body: Buffer): void {
  checkInteger(body, "an extension");
  if (body.length > 8) refuse("a number in an extension that is too large");
}

function smallInteger(body: Buffer, what: string): number {
  checkInteger(body, what);
  if (body.length > 4 || isNegative(body)) refuse(`${what} is out of range`);
  return body.readUIntBE(0, body.length);
}

function isNegative(body: Buffer): boolean {
  return ((body[0] ?? 0) & 0x80) !== 0;
}

function isZero(body: Buffer): boolean {
  return body.every((byte) => byte === 0);
}
