import { context, DerError, DerReader, oidText, tags } from "./der.ts";
import { type GeneralName, type NameConstraints, nameForms } from "./name-constraints.ts";

/**
 * What a verifier looks at in a certificate and Node's `X509Certificate` does not give, or gives only as text
 * (RFC 5280, section 4.2). `undefined`: the certificate has no such extension.
 */
export interface Extensions {
  /** Such a certificate cannot say that it is a CA; as a root, verifiers accept it nevertheless. */
  readonly isVersion1: boolean;
  /** subjectAltName, in its order. */
  readonly names: readonly GeneralName[];
  /** The URIs among them. */
  readonly uris: readonly string[];
  /** pathLenConstraint: how many CAs that are not self-issued may stand between this one and the leaf. */
  readonly pathLength: number | undefined;
  readonly keyUsage: ReadonlySet<KeyUsage> | undefined;
  /** OIDs, as the hex of their content. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly nameConstraints: NameConstraints | undefined;
  readonly subjectKeyId: Buffer | undefined;
  readonly authorityKeyId: AuthorityKeyId | undefined;
  /** OIDs of critical extensions that OpenSSL, BoringSSL and Go do not all process. */
  readonly unknownCritical: readonly string[];
  /**
   * Why the extensions cannot be read, as the middle of a sentence; then all else is as if there were none.
   */
  readonly problem?: string;
}

/** How a certificate names its issuer's key (RFC 5280, section 4.2.1.1). */
export interface AuthorityKeyId {
  readonly keyId: Buffer | undefined;
  /** The Name of the issuer's issuer, in DER. */
  readonly issuer: Buffer | undefined;
  readonly serial: Buffer | undefined;
}

type KeyUsage = (typeof keyUsageBits)[number];

/** clientAuth of extendedKeyUsage, 1.3.6.1.5.5.7.3.2. */
export const clientAuth = "2b06010505070302";

/**
 * A root is published with whatever stands in it, so malformed extensions are a fact about it and no error.
 */
export function readExtensions(der: Buffer): Extensions {
  try {
    return read(der);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    return { ...none, problem: error.message };
  }
}

const none: Extensions = {
  isVersion1: false,
  names: [],
  uris: [],
  pathLength: undefined,
  keyUsage: undefined,
  extendedKeyUsage: undefined,
  nameConstraints: undefined,
  subjectKeyId: undefined,
  authorityKeyId: undefined,
  unknownCritical: [],
};

interface Extension {
  readonly isCritical: boolean;
  readonly value: Buffer;
}

function read(der: Buffer): Extensions {
  const fields = new DerReader(der).inside().inside();
  const isVersion1 = fields.optional(context.constructed(0)) === undefined;
  const extensions = collect(fields);
  const value = <T>(id: string, reader: (value: DerReader) => T): T | undefined => {
    const extension = extensions.get(id);
    if (extension === undefined) return undefined;
    const content = new DerReader(extension.value);
    const found = reader(content);
    content.end();
    return found;
  };
  const names = value("551d11", generalNames) ?? [];
  return {
    isVersion1,
    names,
    uris: names.filter(({ form }) => form === nameForms.uri).map(({ value }) => value.toString("latin1")),
    pathLength: value("551d13", pathLength),
    keyUsage: value("551d0f", keyUsage),
    extendedKeyUsage: value("551d25", extendedKeyUsage),
    nameConstraints: value("551d1e", nameConstraints),
    subjectKeyId: value("551d0e", (id) => id.read(tags.octetString)),
    authorityKeyId: value("551d23", authorityKeyId),
    unknownCritical: [...extensions].flatMap(([id, { isCritical }]) =>
      isCritical && !known.has(id) ? [oidText(Buffer.from(id, "hex"))] : [],
    ),
  };
}

/**
 * keyUsage, subjectAltName, basicConstraints, nameConstraints, the four of policies, extendedKeyUsage:
 * 2.5.29.N.
 */
const known = new Set(
  [15, 17, 19, 30, 32, 33, 36, 37, 54].map((arc) => `551d${arc.toString(16).padStart(2, "0")}`),
);

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

function collect(fields: DerReader): Map<string, Extension> {
  const extensions = new Map<string, Extension>();
  while (!fields.isAtEnd && fields.tag !== context.constructed(3)) fields.next();
  if (fields.isAtEnd) return extensions;
  for (const list = fields.inside(context.constructed(3)).inside(); !list.isAtEnd;) {
    const extension = list.inside();
    const id = extension.read(tags.oid).toString("hex");
    const critical = extension.optional(tags.boolean);
    if (extensions.has(id)) throw new DerError("the same extension twice");
    extensions.set(id, { isCritical: isTrue(critical), value: extension.read(tags.octetString) });
  }
  return extensions;
}

function generalNames(value: DerReader): GeneralName[] {
  const names: GeneralName[] = [];
  for (const list = value.inside(); !list.isAtEnd;) {
    const { tag, body } = list.next();
    names.push({ form: tag, value: body });
  }
  return names;
}

function pathLength(value: DerReader): number | undefined {
  const constraints = value.inside();
  constraints.optional(tags.boolean);
  const length = constraints.optional(tags.integer);
  if (length === undefined) return undefined;
  if (length.length === 0) throw new DerError("an empty path length");
  // No chain comes near what six bytes hold.
  return length.length > 6 ? Number.MAX_SAFE_INTEGER : length.readUIntBE(0, length.length);
}

function keyUsage(value: DerReader): Set<KeyUsage> {
  // A BIT STRING: the number of unused bits, then the bits, the first one highest.
  const bits = value.read(tags.bitString)[1] ?? 0;
  return new Set(keyUsageBits.filter((_, index) => (bits & (0x80 >> index)) !== 0));
}

function extendedKeyUsage(value: DerReader): string[] {
  const usages: string[] = [];
  for (const list = value.inside(); !list.isAtEnd;) usages.push(list.read(tags.oid).toString("hex"));
  return usages;
}

function nameConstraints(value: DerReader): NameConstraints {
  const constraints = value.inside();
  const subtrees = (number: number): GeneralName[] => {
    const bases: GeneralName[] = [];
    const field = constraints.optional(context.constructed(number));
    if (field === undefined) return bases;
    for (const list = new DerReader(field); !list.isAtEnd;) {
      const { tag, body } = list.inside().next();
      bases.push({ form: tag, value: body });
    }
    return bases;
  };
  return { permitted: subtrees(0), excluded: subtrees(1) };
}

/** Reads the content of such an extension, of a certificate or of a revocation list. @throws DerError */
export function authorityKeyId(value: DerReader): AuthorityKeyId {
  const fields = value.inside();
  const keyId = fields.optional(context.primitive(0));
  const names = fields.optional(context.constructed(1));
  const serial = fields.optional(context.primitive(2));
  fields.end();
  return { keyId, issuer: names && firstDirectoryName(names), serial };
}

function firstDirectoryName(names: Buffer): Buffer | undefined {
  for (const list = new DerReader(names); !list.isAtEnd;) {
    const { tag, body } = list.next();
    if (tag === nameForms.directory) return body;
  }
  return undefined;
}

function isTrue(critical: Buffer | undefined): boolean {
  return critical !== undefined && critical[0] !== 0;
}
