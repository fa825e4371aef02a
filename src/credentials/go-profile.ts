import { isUtf8 } from "node:buffer";
import { createPublicKey } from "node:crypto";
import {
  type CertificateFields,
  algorithm,
  boolean,
  checkInteger,
  checkOid,
  checkWholeBytes,
  ids,
  isAscii,
  isDate,
  isNegative,
  isZero,
  refuse,
} from "./certificate-fields.ts";
import { DerReader, tags, type Element } from "./der.ts";
import { extensionChecks } from "./go-extensions.ts";
import { p224, usualCurves } from "./public-key.ts";

export function checkForGo(certificate: CertificateFields): void {
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
  if (certificate.hasPrimitiveExtensions) refuse("a list of extensions that is not marked as constructed");
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

function checkTimeForGo({ tag, body }: Element): void {
  const text = body.toString("latin1");
  const form = tag === tags.utcTime ? utcTime : tag === tags.generalizedTime ? generalizedTime : undefined;
  if (form?.test(text) !== true || !isDate(text))
    refuse(`the time ${JSON.stringify(text)}, which Go does not read`);
}

/** Go reads an offset, but not one that it would write as Z. */
const offset = "(?:Z|[+-](?!0000)(?:[01]\\d|2[0-3])[0-5]\\d)";
const utcTime = new RegExp(`^\\d{10}(?:\\d\\d)?${offset}$`);
const generalizedTime = new RegExp(`^\\d{14}${offset}$`);

function checkKeyForGo({ keyAlgorithm, key, publicKeyInfo }: CertificateFields): void {
  const { id, parameters } = algorithm(keyAlgorithm);
  switch (id) {
    case ids.rsa: {
      checkWholeBytes(publicKeyInfo);
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
      if (!usualCurves.has(curve) && curve !== p224) refuse("an EC key on a curve that Go does not know");
      checkWholeBytes(publicKeyInfo);
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
