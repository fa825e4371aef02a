import { createHash, X509Certificate } from "node:crypto";
import { context, DerError, DerReader } from "./der.ts";
import { CredentialError } from "./errors.ts";
import { type Extensions, readExtensions } from "./extensions.ts";
import { encodePem, pemLength } from "./pem.ts";
import { type Profile, profileOf } from "./profile.ts";
import { keyProblem } from "./public-key.ts";
import { printable } from "../text/printable.ts";

/** No honest certificate comes near; a bound on the work that a hostile one makes. */
const maxBytes = 64 * 1024;

/**
 * An X.509 certificate (RFC 5280): its DER and the facts that attaché decides on, read once.
 *
 * Node's own `X509Certificate` costs about 5 KB of native memory each: it is kept of CAs, and of the one leaf that
 * is looked at.
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
  /** Of a CA: there are few, and each is asked for with every credential. */
  readonly #kept: Facts | undefined;
  /** Of the leaf that was asked last: a verdict asks several times, and thousands of leaves are kept. */
  static #last: { readonly of: Certificate; readonly facts: Facts } | undefined;
  #authorityProfile: Profile | undefined;
  #isSelfSigned: boolean | undefined;

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
    if (x509.ca) this.#kept = { x509 };
    else Certificate.#last = { of: this, facts: { x509 } };
  }

  get #facts(): Facts {
    if (this.#kept !== undefined) return this.#kept;
    if (Certificate.#last?.of !== this) Certificate.#last = { of: this, facts: {} };
    return Certificate.#last.facts;
  }

  get extensions(): Extensions {
    return (this.#facts.extensions ??= readExtensions(this.der));
  }

  /** Subject equals issuer and the signature verifies with its own key. */
  get isSelfSigned(): boolean {
    return (this.#isSelfSigned ??= this.subject === this.issuer && isSignedBy(this, this));
  }

  /** The URI subject alternative names, in their order; an X.509-SVID has exactly one. */
  get uris(): readonly string[] {
    return this.extensions.uris;
  }

  /**
   * The Name of the subject, in DER; as {@link issuerDer} and {@link subjectKeyInfo}, empty where the frame
   * is no DER.
   */
  get subjectDer(): Buffer {
    return this.#field("subject");
  }

  /** The Name of the issuer, in DER. */
  get issuerDer(): Buffer {
    return this.#field("issuer");
  }

  /** The SubjectPublicKeyInfo, in DER. */
  get subjectKeyInfo(): Buffer {
    return this.#field("publicKey");
  }

  /** The serial number's content, in DER. */
  get serial(): Buffer {
    return this.#field("serial");
  }

  #field(name: keyof Fields): Buffer {
    return (this.#facts.fields ??= readFields(this.der))[name];
  }

  x509(): X509Certificate {
    return (this.#facts.x509 ??= new X509Certificate(this.der));
  }

  /** Whether Envoy and Emissary accept it as a leaf, or as an intermediate or root; see {@link profileOf}. */
  profile(role: "leaf" | "authority"): Profile {
    if (role === "leaf") return (this.#facts.leafProfile ??= profileOf(this.der, role));
    return (this.#authorityProfile ??= profileOf(this.der, role));
  }

  /** One PEM block (RFC 7468), lines of 64 characters, LF, with a final newline. */
  toPem(): string {
    return encodePem("CERTIFICATE", this.der);
  }

  /** Of {@link toPem}, in bytes. */
  get pemLength(): number {
    return pemLength("CERTIFICATE", this.der);
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

/** What is read when it is asked for. */
interface Facts {
  x509?: X509Certificate;
  extensions?: Extensions;
  fields?: Fields;
  leafProfile?: Profile;
}

interface Fields {
  readonly serial: Buffer;
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly publicKey: Buffer;
}

function readFields(der: Buffer): Fields {
  try {
    const fields = new DerReader(der).inside().inside();
    fields.optional(context.constructed(0));
    const serial = fields.next().body;
    fields.next();
    const issuer = fields.next().whole;
    fields.next();
    return { serial, issuer, subject: fields.next().whole, publicKey: fields.next().whole };
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    const none = Buffer.alloc(0);
    return { serial: none, issuer: none, subject: none, publicKey: none };
  }
}

/**
 * Whether `issuer`'s key made the signature of `certificate`. A key that Envoy could not verify with is not
 * tried: a hostile one takes milliseconds.
 */
export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  if (keyProblem(issuer.subjectKeyInfo, "root") !== undefined) return false;
  try {
    return certificate.x509().verify(issuer.x509().publicKey);
  } catch {
    // Node reads the key only now.
    return false;
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
