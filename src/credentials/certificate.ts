import { createHash, type KeyObject, X509Certificate } from "node:crypto";
import { context, DerReader } from "./der.ts";
import { CredentialError } from "./errors.ts";
import { type Extensions, readExtensions } from "./extensions.ts";
import { encodePem } from "./pem.ts";
import { type Profile, profileOf } from "./profile.ts";
import { printable } from "../text/printable.ts";

/** No honest certificate comes near; a bound on the work that a hostile one makes. */
const maxBytes = 64 * 1024;

/**
 * An X.509 certificate (RFC 5280): its DER and the facts that attaché decides on, read once.
 *
 * Node's own `X509Certificate` costs about 5 KB of native memory each: that of a leaf is made again by
 * {@link Certificate.x509} where a signature has to be checked, and not kept.
 */
export class Certificate {
  readonly der: Buffer;
  /** SHA-256 of the DER, lower-case hex without colons: the name of a root in status and annotations. */
  readonly fingerprint: string;
  /** Upper-case hex without colons, as Node and openssl print it. */
  readonly serialNumber: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** One `TYPE=value` a line, as Node prints it; empty for most leaves, whose identity is their URI. */
  readonly subject: string;
  readonly issuer: string;
  /** Basic constraints say so, and key usage, where present, allows it to sign certificates. */
  readonly isCa: boolean;
  /** Subject equals issuer and the signature verifies with its own key. */
  readonly isSelfSigned: boolean;
  /** Kept, as each verdict asks for them several times, and reading them takes longest. */
  readonly extensions: Extensions;
  /** Of a CA: there are few, and each is asked for with every credential. */
  readonly #x509: X509Certificate | undefined;
  #authorityProfile: Profile | undefined;

  /** @throws CredentialError if `der` is not exactly one certificate in DER. */
  constructor(der: Uint8Array) {
    const x509 = parse(der);
    this.der = x509.raw;
    this.fingerprint = createHash("sha256").update(this.der).digest("hex");
    this.serialNumber = x509.serialNumber;
    this.notBefore = time(x509.validFromDate);
    this.notAfter = time(x509.validToDate);
    this.subject = name(x509.subject);
    this.issuer = name(x509.issuer);
    this.isCa = x509.ca;
    if (x509.ca) this.#x509 = x509;
    this.isSelfSigned = x509.checkIssued(x509) && isSignedBy(x509, x509);
    this.extensions = readExtensions(this.der);
  }

  /** The URI subject alternative names, in their order; an X.509-SVID has exactly one. */
  get uris(): readonly string[] {
    return this.extensions.uris;
  }

  /** The Name of the subject, in DER. */
  get subjectDer(): Buffer {
    return this.#subjectFields().next().whole;
  }

  /** The SubjectPublicKeyInfo, in DER. */
  get subjectKeyInfo(): Buffer {
    const fields = this.#subjectFields();
    fields.next();
    return fields.next().whole;
  }

  /** From the subject on. */
  #subjectFields(): DerReader {
    const fields = new DerReader(this.der).inside().inside();
    fields.optional(context.constructed(0));
    // Serial number, signature algorithm, issuer, validity.
    for (let skipped = 0; skipped < 4; skipped += 1) fields.next();
    return fields;
  }

  x509(): X509Certificate {
    return this.#x509 ?? new X509Certificate(this.der);
  }

  /** Whether Envoy and Emissary accept it as a leaf, or as an intermediate or root; see {@link profileOf}. */
  profile(role: "leaf" | "authority"): Profile {
    if (role === "leaf") return profileOf(this.der, role);
    return (this.#authorityProfile ??= profileOf(this.der, role));
  }

  /** One PEM block (RFC 7468), lines of 64 characters, LF, with a final newline. */
  toPem(): string {
    return encodePem("CERTIFICATE", this.der);
  }

  /** For messages: the subject, else the first URI, else the serial number; printable and short. */
  toString(): string {
    const [name = ""] = [this.subject, ...this.uris, `serial ${this.serialNumber}`].filter(
      (text) => text !== "",
    );
    return printable(name);
  }

  toJSON(): string {
    return this.fingerprint;
  }
}

/** Whether `issuer`'s key made the signature of `certificate`. */
export function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  const key = publicKeyOf(issuer);
  return key !== undefined && certificate.verify(key);
}

/** Node reads the key only now; `undefined` if it is malformed or of a kind that OpenSSL does not know. */
export function publicKeyOf(certificate: X509Certificate): KeyObject | undefined {
  try {
    return certificate.publicKey;
  } catch {
    return undefined;
  }
}

function parse(der: Uint8Array): X509Certificate {
  if (der.length > maxBytes) throw new CredentialError(`a certificate of more than ${maxBytes} bytes`);
  try {
    const x509 = new X509Certificate(der);
    // Node also takes PEM, and overlooks what follows the certificate.
    if (x509.raw.equals(der)) return x509;
  } catch (cause) {
    throw new CredentialError("not a DER-encoded X.509 certificate", { cause });
  }
  throw new CredentialError("not exactly one DER-encoded X.509 certificate");
}

function time(date: Date): Date {
  if (Number.isNaN(date.getTime())) throw new CredentialError("a certificate whose dates are malformed");
  return date;
}

/** Node's types do not know that an empty name is `undefined`. */
function name(text: string | undefined): string {
  return text ?? "";
}
