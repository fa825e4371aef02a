import { parseCertificates } from "../credentials/certificates.ts";
import { CredentialError } from "../credentials/errors.ts";
import { parsePrivateKey } from "../credentials/keys.ts";
import { keyProblem } from "../credentials/public-key.ts";

/** The `data` of a Secret: base64 by key. */
export type SecretData = Readonly<Record<string, string>>;

/** Why Emissary or Envoy cannot use an object. */
export interface Unsoundness {
  /** A sentence without its end. */
  readonly because: string;
  /**
   * Whether Envoy refuses it: while the object is in use, Envoy refuses every new configuration, of all
   * tenants. Otherwise it concerns only those who use the object.
   */
  readonly isRefused: boolean;
}

/** In the order in which Emissary looks for them. */
const certificateKeys = ["tls.crt", "cert-chain.pem"];
const privateKeyKeys = ["tls.key", "key.pem"];

/** Of a Secret with a leaf, its chain and its key, as observed with Envoy 1.38. */
export function leafUnsoundness(data: SecretData, now: Date): Unsoundness | undefined {
  const [certificate, key] = [textAt(data, certificateKeys), textAt(data, privateKeyKeys)];
  if (certificate === undefined) return harmless(`it has none of ${certificateKeys.join(", ")}`);
  if (key === undefined) return harmless(`it has none of ${privateKeyKeys.join(", ")}`);
  return unlessUnparseable(() => {
    const [leaf, ...intermediates] = parseCertificates(certificate);
    if (leaf === undefined) return refused("it has no certificate");
    const unreadable =
      leaf.profile("leaf").envoy ??
      intermediates.map((one) => one.profile("authority").envoy).find((reason) => reason !== undefined);
    if (unreadable !== undefined) return refused(`it has a certificate with ${unreadable}`);
    const weakness = keyProblem(leaf.subjectKeyInfo, "leaf");
    // Envoy loads Ed25519 keys, but makes no handshake with them.
    if (weakness !== undefined)
      return { because: `its key is ${weakness}`, isRefused: !weakness.endsWith("ed25519") };
    if (!leaf.x509().checkPrivateKey(parsePrivateKey(firstKey(key))))
      return refused("its key does not match its certificate");
    if (leaf.notAfter <= now) return harmless(`its leaf expired at ${leaf.notAfter.toISOString()}`);
    return unlessDropped(leaf.profile("leaf").go);
  });
}

/** Of a Secret with roots. */
export function caUnsoundness(data: SecretData): Unsoundness | undefined {
  const text = textAt(data, certificateKeys);
  if (text === undefined)
    return harmless(`it has none of ${certificateKeys.join(", ")}: Emissary reads no other key`);
  return unlessUnparseable(() => {
    const roots = parseCertificates(text);
    if (roots.length === 0) return refused("it has no certificate");
    const unreadable = roots
      .map((one) => one.profile("authority").envoy)
      .find((reason) => reason !== undefined);
    if (unreadable !== undefined) return refused(`it has a certificate with ${unreadable}`);
    return unlessDropped(roots[0]?.profile("authority").go);
  });
}

/** @param reason why Go cannot read the first certificate. */
function unlessDropped(reason: string | undefined): Unsoundness | undefined {
  if (reason === undefined) return undefined;
  return harmless(
    `its first certificate has ${reason}: Emissary drops it if AMBASSADOR_FORCE_SECRET_VALIDATION is set`,
  );
}

function refused(because: string): Unsoundness {
  return { because, isRefused: true };
}

function harmless(because: string): Unsoundness {
  return { because, isRefused: false };
}

/** To Emissary an empty one is none. */
function textAt(data: SecretData, keys: readonly string[]): string | undefined {
  const key = keys.find((one) => (data[one] ?? "") !== "");
  return key === undefined ? undefined : Buffer.from(data[key] ?? "", "base64").toString();
}

/** Envoy reads no further. */
function firstKey(text: string): string {
  const label = "[A-Z ]*PRIVATE KEY-----";
  return new RegExp(`-----BEGIN ${label}[^-]*-----END ${label}`).exec(text)?.[0] ?? text;
}

function unlessUnparseable(look: () => Unsoundness | undefined): Unsoundness | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof CredentialError) return refused(error.problem);
    throw error;
  }
}
