import { cipherSuites, ecdhCurves } from "../api/spec.ts";
import { fieldsOf, textOf } from "../emissary/fields.ts";
import type { Unsoundness } from "../emissary/secret-soundness.ts";

/**
 * What is wrong with the fields of a TLSContext's spec, or of a Host's `spec.tls`; peer tests hold what is
 * refused against Envoy 1.38.
 *
 * @param isUpstream whether a consumer other than a Host names the context.
 */
export function fieldProblems(spec: unknown, isUpstream: boolean): Unsoundness[] {
  const fields = fieldsOf(spec);
  const unknown = [
    ...unknownIn(fields["cipher_suites"], isCipher).map((name) => `cipher_suites: ${quoted(name)}`),
    ...unknownIn(fields["ecdh_curves"], isCurve).map((name) => `ecdh_curves: ${quoted(name)}`),
  ];
  const sni = textOf(fields["sni"]);
  const refused = [
    ...unknown.map((name) => `${name} is unknown to Envoy`),
    ...alpnProblems(textOf(fields["alpn_protocols"])),
    ...(Buffer.byteLength(sni) > 255 ? ["sni: it has more than 255 bytes"] : []),
    ...(sni.includes("\0") ? ["sni: it contains NUL"] : []),
    ...(isUpstream && fields["cert_required"] !== undefined
      ? ["cert_required: it is for connections from clients only, and an upstream uses the context"]
      : []),
  ];
  const odd = /\p{Cc}/u.test(sni) && !sni.includes("\0") ? ["sni: it contains a control character"] : [];
  return [
    ...refused.map((because) => ({ because: `${because}.`, isRefused: true })),
    ...odd.map((because) => ({ because: `${because}.`, isRefused: false })),
  ];
}

function alpnProblems(protocols: string): string[] {
  const sizes = protocols === "" ? [] : protocols.split(",").map((name) => Buffer.byteLength(name));
  return [
    ...(sizes.includes(0) ? [`alpn_protocols: ${quoted(protocols)} contains an empty name`] : []),
    ...(sizes.some((size) => size > 255) ? ["alpn_protocols: a name has more than 255 bytes"] : []),
    // Each name takes a byte more.
    ...(sizes.reduce((sum, size) => sum + size + 1, 0) >= 65_536
      ? ["alpn_protocols: it has 65,536 bytes or more"]
      : []),
  ];
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}

/** Names in a list of which each element may itself be a list, with colons. */
function unknownIn(value: unknown, isKnown: (name: string) => boolean): string[] {
  const names = (Array.isArray(value) ? value : []).flatMap((one) => textOf(one).split(":"));
  return names.filter((name) => name !== "" && !isKnown(name));
}

/** As BoringSSL reads rules: groups `[A|B]`, classes with `+`; one with an operator is not judged. */
function isCipher(rule: string): boolean {
  if (/^[-!+@]/.test(rule)) return true;
  return rule
    .replace(/^\[|\]$/g, "")
    .split("|")
    .every((one) => suites.has(one) || /^TLS_\w+_WITH_/.test(one) || one.split("+").every(isClass));
}

function isClass(name: string): boolean {
  return classes.has(name);
}

function isCurve(name: string): boolean {
  return curves.has(name);
}

/** What Envoy takes beyond what a MeshCertificate may have. */
const suites: ReadonlySet<string> = new Set([
  ...cipherSuites,
  ...["DES-CBC3-SHA", "ECDHE-RSA-AES128-SHA256", "PSK-AES128-CBC-SHA", "PSK-AES256-CBC-SHA"],
  ...["ECDHE-PSK-AES128-CBC-SHA", "ECDHE-PSK-AES256-CBC-SHA", "ECDHE-PSK-CHACHA20-POLY1305"],
]);
const classes: ReadonlySet<string> = new Set([
  ...["ALL", "DEFAULT", "HIGH", "FIPS", "SSLv3", "TLSv1", "TLSv1.2", "SHA1", "SHA"],
  ...["kRSA", "kECDHE", "kEECDH", "kPSK", "ECDHE", "EECDH", "PSK", "aRSA", "RSA", "aECDSA", "ECDSA", "aPSK"],
  ...["3DES", "AES128", "AES256", "AES", "AESGCM", "CHACHA20"],
]);
const curves: ReadonlySet<string> = new Set([
  ...ecdhCurves,
  ...["prime256v1", "secp384r1", "secp521r1", "x25519", "X25519Kyber768Draft00", "MLKEM1024"],
]);
