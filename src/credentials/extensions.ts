import asn1 from "node-forge/lib/asn1.js";
import { CredentialError } from "./errors.ts";

/**
 * What a verifier looks at in a certificate and Node's `X509Certificate` does not tell, or tells only as text
 * (RFC 5280, section 4.2). `undefined`: the certificate has no such extension.
 */
export interface Extensions {
  /** Such a certificate cannot say that it is a CA; as a root, verifiers take it nevertheless. */
  readonly isVersion1: boolean;
  /** URI names of subjectAltName, in their order. */
  readonly uris: readonly string[];
  /** pathLenConstraint: how many CAs that are not self-issued may stand between this one and the leaf. */
  readonly pathLength: number | undefined;
  readonly keyUsage: ReadonlySet<KeyUsage> | undefined;
  /** OIDs. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly uriConstraints: UriConstraints | undefined;
  /** OIDs of critical extensions that not all of OpenSSL, BoringSSL and Go process, and so must refuse. */
  readonly unknownCritical: readonly string[];
}

export type KeyUsage = (typeof keyUsageBits)[number];

/** The part of nameConstraints that concerns URIs: hosts, or with a leading dot all hosts of a domain. */
export interface UriConstraints {
  /** Empty: whatever is not excluded. */
  readonly permitted: readonly string[];
  readonly excluded: readonly string[];
}

/** @throws CredentialError if an extension is not what RFC 5280 says, or stands there twice. */
export function readExtensions(der: Buffer): Extensions {
  try {
    const fields = items(items(parse(der.toString("latin1")))[0]);
    const extensions = collect(fields);
    const read = <T>(id: string, reader: (value: Asn1) => T): T | undefined => {
      const extension = extensions.get(id);
      return extension && reader(parse(extension.value));
    };
    return {
      isVersion1: !isContext(fields[0], 0),
      uris: read("2.5.29.17", (names) => uris(items(names))) ?? [],
      pathLength: read("2.5.29.19", pathLength),
      keyUsage: read("2.5.29.15", keyUsage),
      extendedKeyUsage: read("2.5.29.37", (usages) => items(usages).map(oid)),
      uriConstraints: read("2.5.29.30", uriConstraints),
      unknownCritical: [...extensions].flatMap(([id, { critical }]) =>
        critical && !known.has(id) ? [id] : [],
      ),
    };
  } catch (cause) {
    throw new CredentialError("a certificate has malformed extensions", { cause });
  }
}

type Asn1 = asn1.Asn1;
const { Class, Type, derToInteger, derToOid, fromDer } = asn1;

/** keyUsage, subjectAltName, basicConstraints, nameConstraints, the four of policies, extendedKeyUsage. */
const known = new Set([15, 17, 19, 30, 32, 33, 36, 37, 54].map((arc) => `2.5.29.${arc}`));

/** In the order of their bits, RFC 5280, section 4.2.1.3. */
const keyUsageBits = [
  "digitalSignature",
  "nonRepudiation",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
] as const;

interface Extension {
  readonly critical: boolean;
  /** DER, one character a byte. */
  readonly value: string;
}

function collect(fields: readonly Asn1[]): Map<string, Extension> {
  const extensions = new Map<string, Extension>();
  const field = fields.find((candidate) => isContext(candidate, 3));
  for (const item of field ? items(items(field)[0]) : []) {
    const [id, ...rest] = items(item);
    const name = oid(id);
    if (extensions.has(name)) throw new Error(`extension ${name} twice`);
    const value = rest.at(-1);
    extensions.set(name, { critical: rest.length > 1 && isTrue(rest[0]), value: bytes(value) });
  }
  return extensions;
}

function uris(names: readonly Asn1[]): string[] {
  // Copies: a part of a string keeps the whole in memory, here the certificate once more.
  return names.filter((name) => isContext(name, 6)).map((name) => copy(bytes(name)));
}

function copy(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}

function pathLength(constraints: Asn1): number | undefined {
  const length = items(constraints).find((field) => field.type === Type.INTEGER);
  return length && derToInteger(bytes(length));
}

function keyUsage(value: Asn1): Set<KeyUsage> {
  // A BIT STRING: the number of unused bits, then the bits, the first one highest.
  const bits = bytes(value).charCodeAt(1);
  return new Set(keyUsageBits.filter((_, index) => (bits & (0x80 >> index)) !== 0));
}

function uriConstraints(constraints: Asn1): UriConstraints {
  const subtrees = (tag: number) =>
    items(constraints)
      .filter((field) => isContext(field, tag))
      .flatMap(items)
      .flatMap((subtree) => uris(items(subtree).slice(0, 1)));
  return { permitted: subtrees(0), excluded: subtrees(1) };
}

function parse(der: string): Asn1 {
  return fromDer(der, true);
}

function items(value: Asn1 | undefined): Asn1[] {
  if (!Array.isArray(value?.value)) throw new Error("a constructed value is missing");
  return value.value;
}

function bytes(value: Asn1 | undefined): string {
  if (typeof value?.value !== "string") throw new Error("a primitive value is missing");
  return value.value;
}

function isContext(value: Asn1 | undefined, tag: number): boolean {
  const type: number | undefined = value?.type;
  return value?.tagClass === Class.CONTEXT_SPECIFIC && type === tag;
}

function isTrue(value: Asn1 | undefined): boolean {
  return value?.type === Type.BOOLEAN && bytes(value) !== "\0";
}

function oid(value: Asn1 | undefined): string {
  const der = bytes(value);
  try {
    return derToOid(der);
  } catch {
    // An arc of more than 53 bits, as in OIDs made from UUIDs: none of those that we ask for.
    return Buffer.from(der, "latin1").toString("hex");
  }
}
