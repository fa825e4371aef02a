import { parseCertificates } from "../credentials/certificates.ts";
import { CredentialError } from "../credentials/errors.ts";
import { parsePrivateKey } from "../credentials/keys.ts";

/** The `data` of a Secret: base64 by key. */
export type SecretData = Readonly<Record<string, string>>;

/** In the order in which Emissary looks for them. */
const certificateKeys = ["tls.crt", "cert-chain.pem"];
const privateKeyKeys = ["tls.key", "key.pem"];

/**
 * Why Emissary can do nothing with a leaf Secret, or Envoy refuses all configuration for it; `undefined`:
 * nothing is wrong with it.
 */
export function leafUnsoundness(data: SecretData, now: Date): string | undefined {
  const [certificate, key] = [textAt(data, certificateKeys), textAt(data, privateKeyKeys)];
  if (certificate === undefined) return `it has none of ${certificateKeys.join(", ")}`;
  if (key === undefined) return `it has none of ${privateKeyKeys.join(", ")}`;
  return problemOf(() => {
    const [leaf] = parseCertificates(certificate);
    if (leaf === undefined) return "it has no certificate";
    if (!leaf.x509().checkPrivateKey(parsePrivateKey(key))) {
      return "its key does not match its certificate, for which Envoy refuses all configuration of all tenants";
    }
    return leaf.notAfter > now ? undefined : `its leaf expired at ${leaf.notAfter.toISOString()}`;
  });
}

export function caUnsoundness(data: SecretData): string | undefined {
  const text = textAt(data, certificateKeys);
  if (text === undefined) return `it has none of ${certificateKeys.join(", ")}: Emissary reads no other key`;
  return problemOf(() => (parseCertificates(text).length > 0 ? undefined : "it has no certificate"));
}

function textAt(data: SecretData, keys: readonly string[]): string | undefined {
  const key = keys.find((one) => data[one] !== undefined);
  return key === undefined ? undefined : Buffer.from(data[key] ?? "", "base64").toString();
}

function problemOf(look: () => string | undefined): string | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof CredentialError) return error.problem;
    throw error;
  }
}
