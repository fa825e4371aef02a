import { isUtf8 } from "node:buffer";
import {
  type CertificateFields,
  algorithm,
  bits,
  checkInteger,
  checkWholeBytes,
  ids,
  isDate,
  isZero,
  readCertificate,
  refuse,
} from "./certificate-fields.ts";
import { DerError, DerReader, tags } from "./der.ts";
import { checkForGo } from "./go-profile.ts";

/**
 * Whether the programs behind attaché accept a certificate: Envoy (BoringSSL), which refuses a whole
 * configuration for one certificate that it cannot read, and Emissary (Go's crypto/x509), which drops the
 * Secret. attaché itself reads with OpenSSL, which is more lenient than either.
 *
 * The rules are those of BoringSSL's crypto/x509 as in Envoy 1.38 and of Go 1.26's crypto/x509 (parser.go);
 * peer tests hold them against both programs. Each field is the reason, as the middle of a sentence; absent
 * where the program accepts the certificate.
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
  let certificate: CertificateFields;
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

function checkForEnvoy(certificate: CertificateFields, role: "leaf" | "authority"): void {
  const { version, hasUniqueIds, extensions, names, times, serial } = certificate;
  checkInteger(serial, "the serial number");
  for (const parameters of [certificate.innerAlgorithm, certificate.keyAlgorithm].map(
    (one) => algorithm(one).parameters,
  )) {
    if (parameters.length > 0 && !isText(new DerReader(parameters).next())) refuse("malformed parameters");
  }
  if (version > 2) refuse(`version ${version + 1}, which does not exist`);
  if (version === 0 && hasUniqueIds) refuse("version 1 with unique identifiers");
  if (version !== 2 && extensions !== undefined) refuse(`version ${version + 1} with extensions`);
  for (const name of names) {
    for (const parts = new DerReader(name); !parts.isAtEnd;) {
      const part = parts.read(tags.set);
      if (part.length === 0) refuse("a name with an empty part");
      for (const attributes = new DerReader(part); !attributes.isAtEnd;) {
        const attribute = attributes.inside();
        attribute.next();
        checkNameValue(attribute.next());
      }
    }
  }
  for (const { tag, body } of times) {
    const text = body.toString("latin1");
    const form = tag === tags.utcTime ? /^\d{12}(?:Z|[+-](?:0\d|1[0-2])[0-5]\d)$/ : /^\d{14}Z$/;
    if (!form.test(text) || !isDate(text)) {
      refuse(`the time ${JSON.stringify(text)}, which is not in the form of RFC 5280`);
    }
  }
  if (role === "leaf") checkWholeBytes(certificate.publicKeyInfo);
  const usage = role === "leaf" ? extensions?.find(({ id }) => id === ids.keyUsage) : undefined;
  if (usage !== undefined) checkKeyUsage(usage.value);
}

/** What BoringSSL takes as the value in a name, of what OpenSSL takes; seen with Envoy 1.38. */
const nameValueTags: ReadonlySet<number> = new Set([
  ...[0x03, 0x07, 0x09, 0x0c, 0x0d, 0x0e, 0x0f, 0x12, 0x13, 0x14, 0x16, 0x1c, 0x1e],
  ...[0x28, 0x2b, 0x2f, 0x30, 0x3d],
]);

function checkNameValue({ tag, body }: { readonly tag: number; readonly body: Buffer }): void {
  const isUniversal = tag < 0x40;
  if (isUniversal && !nameValueTags.has(tag)) refuse(`a name with a value of the type 0x${tag.toString(16)}`);
  if (tag === tags.bitString) bits(body, "a name");
}

/** Whether it is a string of characters as its tag says, or no such string. BoringSSL checks this of any value. */
function isText({ tag, body }: { readonly tag: number; readonly body: Buffer }): boolean {
  const width = { [tags.universalString]: 4, [tags.bmpString]: 2 }[tag];
  if (width === undefined) return tag !== tags.utf8String || isUtf8(body);
  if (body.length % width !== 0) return false;
  for (let index = 0; index < body.length; index += width) {
    const codePoint = body.readUIntBE(index, width);
    if (codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint <= 0xdfff)) return false;
  }
  return true;
}

/** BoringSSL reads the key usage of what it presents, and refuses an empty one. */
function checkKeyUsage(value: Buffer): void {
  const reader = new DerReader(value);
  if (isZero(bits(reader.read(tags.bitString), "the key usage"))) refuse("an empty key usage");
  reader.end();
}
