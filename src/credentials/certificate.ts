import { createHash, X509Certificate } from "node:crypto";
import { CredentialError } from "./errors.ts";

/**
 * An X.509 certificate (RFC 5280): its DER and the facts that attaché decides on, read once.
 *
 * Node's own `X509Certificate` costs about 5 KB of native memory each and is therefore made anew by
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
  readonly subject: string;
  readonly issuer: string;
  readonly isCa: boolean;
  /** Subject equals issuer and the signature verifies with its own key. */
  readonly isSelfSigned: boolean;
  /** The URI subject alternative names, in their order; an X.509-SVID has exactly one. */
  readonly uris: readonly string[];

  /** @throws CredentialError if `der` is not exactly one certificate. */
  constructor(der: Uint8Array) {
    let x509: X509Certificate;
    try {
      x509 = new X509Certificate(der);
    } catch (cause) {
      throw new CredentialError("not a DER-encoded X.509 certificate", { cause });
    }
    this.der = x509.raw;
    this.fingerprint = createHash("sha256").update(this.der).digest("hex");
    this.serialNumber = x509.serialNumber;
    this.notBefore = x509.validFromDate;
    this.notAfter = x509.validToDate;
    this.subject = distinguishedName(x509.subject);
    this.issuer = distinguishedName(x509.issuer);
    this.isCa = x509.ca;
    this.isSelfSigned = x509.checkIssued(x509) && x509.verify(x509.publicKey);
    this.uris = uriNames(x509.subjectAltName);
  }

  x509(): X509Certificate {
    return new X509Certificate(this.der);
  }

  /** One PEM block (RFC 7468), lines of 64 characters, LF, with a final newline. */
  toPem(): string {
    const lines = this.der.toString("base64").match(/.{1,64}/g) ?? [];
    return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
  }

  toJSON(): string {
    return this.fingerprint;
  }
}

/** An empty name, usual for a leaf whose identity is its URI, is `undefined` in Node, against its own types. */
function distinguishedName(name: string | undefined): string {
  return name ?? "";
}

/** Node quotes a name as a JSON string when it holds a character that could be taken for a separator. */
function uriNames(subjectAltName: string | undefined): string[] {
  const names = subjectAltName?.match(/[A-Za-z ]+:(?:"(?:[^"\\]|\\.)*"|[^,]*)/g) ?? [];
  return names
    .map((name) => name.trim())
    .filter((name) => name.startsWith("URI:"))
    .map((name) => name.slice("URI:".length))
    .map((name) => (name.startsWith('"') ? (JSON.parse(name) as string) : name));
}
