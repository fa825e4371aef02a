import { createPublicKey, type KeyObject, sign } from "node:crypto";
import asn1 from "node-forge/lib/asn1.js";
import { promisify } from "node:util";
import { CredentialError } from "./errors.ts";
import { weakness } from "./keys.ts";
import { encodePem } from "./pem.ts";
import { readEscapedId } from "./spiffe-id.ts";
import { printable } from "../text/printable.ts";

/**
 * A certificate signing request (PKCS#10, RFC 2986) as PEM: an empty subject and one critical URI name, which
 * is what Consul, istiod and SPIRE themselves send. Signed off the event loop.
 * @throws CredentialError if `spiffeId` is none, or if verifiers would not take the key.
 */
export async function createCsr(key: KeyObject, spiffeId: string): Promise<string> {
  if (readEscapedId(spiffeId) === undefined) {
    throw new CredentialError(`"${printable(spiffeId)}" is not a SPIFFE ID`);
  }
  const weak = weakness(key);
  if (weak !== undefined) throw new CredentialError(`the key is ${weak}`);
  const { digest, algorithm } = signatureOf(key);
  const info = sequence(
    integer(0),
    sequence(),
    asn1.fromDer(createPublicKey(key).export({ type: "spki", format: "der" }).toString("latin1")),
    context(0, true, [attribute(oids.extensionRequest, sequence(subjectAltName(spiffeId)))]),
  );
  const signature = await signAsync(digest, toDer(info), key);
  const request = sequence(info, algorithm, universal(Type.BITSTRING, `\0${signature.toString("latin1")}`));
  return encodePem("CERTIFICATE REQUEST", toDer(request));
}

const { Class, Type } = asn1;
type Asn1 = asn1.Asn1;

const oids = {
  extensionRequest: "1.2.840.113549.1.9.14",
  subjectAltName: "2.5.29.17",
  sha256WithRsa: "1.2.840.113549.1.1.11",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  ecdsaWithSha384: "1.2.840.10045.4.3.3",
};

const signAsync = promisify<string, Buffer, KeyObject, Buffer>(sign);

/** RSA's algorithm has an explicit NULL (RFC 4055), ECDSA's has nothing (RFC 5758). */
function signatureOf(key: KeyObject): { digest: string; algorithm: Asn1 } {
  if (key.asymmetricKeyType === "rsa") {
    return { digest: "sha256", algorithm: sequence(oid(oids.sha256WithRsa), universal(Type.NULL, "")) };
  }
  const isP256 = key.asymmetricKeyDetails?.namedCurve === "prime256v1";
  return isP256
    ? { digest: "sha256", algorithm: sequence(oid(oids.ecdsaWithSha256)) }
    : { digest: "sha384", algorithm: sequence(oid(oids.ecdsaWithSha384)) };
}

function subjectAltName(uri: string): Asn1 {
  const names = toDer(sequence(context(6, false, uri))).toString("latin1");
  return sequence(
    oid(oids.subjectAltName),
    universal(Type.BOOLEAN, "\xff"),
    universal(Type.OCTETSTRING, names),
  );
}

function attribute(type: string, value: Asn1): Asn1 {
  return sequence(oid(type), asn1.create(Class.UNIVERSAL, Type.SET, true, [value]));
}

function sequence(...items: Asn1[]): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, items);
}

function context(tag: number, constructed: boolean, value: string | Asn1[]): Asn1 {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- a tag of the context is no universal type
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, constructed, value);
}

function universal(type: asn1.Type, value: string): Asn1 {
  return asn1.create(Class.UNIVERSAL, type, false, value);
}

function integer(value: number): Asn1 {
  return universal(Type.INTEGER, asn1.integerToDer(value).getBytes());
}

function oid(id: string): Asn1 {
  return universal(Type.OID, asn1.oidToDer(id).getBytes());
}

function toDer(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), "latin1");
}
