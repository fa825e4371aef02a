import { algorithm, ids, isNegative } from "./certificate-fields.ts";
import { DerError, DerReader, oidText, tags } from "./der.ts";

/**
 * What a key is used for: a leaf signs handshakes, an intermediate signs certificates, a root is only
 * published.
 */
export type KeyRole = "leaf" | "authority" | "root";

/**
 * Why Envoy or Go would not use a public key, as the end of "the key is …", or `undefined` if they would.
 * Reads DER only: nothing is computed with a key before it is known to be of a usual kind and size.
 *
 * A root may be weaker than a leaf, because only the mesh chooses it: any RSA key that BoringSSL verifies
 * with is accepted.
 */
export function keyProblem(publicKeyInfo: Buffer, role: KeyRole): string | undefined {
  try {
    return problemOf(publicKeyInfo, role);
  } catch (error) {
    if (error instanceof DerError) return "malformed";
    throw error;
  }
}

function problemOf(publicKeyInfo: Buffer, role: KeyRole): string | undefined {
  const info = new DerReader(publicKeyInfo).inside();
  const { id, parameters } = algorithm(info.read(tags.sequence));
  const key = info.read(tags.bitString).subarray(1);
  switch (id) {
    case ids.rsa:
      return rsaProblem(key, role === "root" ? 512 : 2048);
    case ids.ec:
      return curveProblem(parameters, role);
    case ids.ed25519:
      return role === "leaf" ? "of the type ed25519" : undefined;
    default:
      return `of the type ${typeNames.get(id) ?? oidText(Buffer.from(id, "hex"))}`;
  }
}

/** @param key RSAPublicKey (RFC 8017, appendix A.1.1). */
function rsaProblem(key: Buffer, minBits: number): string | undefined {
  const numbers = new DerReader(key).inside();
  const [modulus, exponent] = [numbers.read(tags.integer), numbers.read(tags.integer)];
  if (isNegative(modulus) || isNegative(exponent)) return "malformed";
  const bits = bitLength(modulus);
  if (bits < minBits || bits > 8192) return `RSA with ${bits} bits`;
  const exponentBits = bitLength(exponent);
  if (exponentBits > 64) return `RSA with a public exponent of ${exponentBits} bits`;
  const value = exponent.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  return value % 2n === 1n && value > 1n && value < 2n ** 31n
    ? undefined
    : `RSA with the public exponent ${value}`;
}

function bitLength(number: Buffer): number {
  const first = number.findIndex((byte) => byte !== 0);
  return first === -1 ? 0 : (number.length - first) * 8 - Math.clz32(number[first] ?? 0) + 24;
}

function curveProblem(parameters: Buffer, role: KeyRole): string | undefined {
  const reader = new DerReader(parameters);
  if (reader.tag !== tags.oid) return "EC on a curve without a name";
  const content = reader.read(tags.oid);
  const id = content.toString("hex");
  if (usualCurves.has(id) || (id === p224 && role === "root")) return undefined;
  return `EC on the curve ${curveNames.get(id) ?? oidText(content)}`;
}

/** P-256, P-384 and P-521. */
export const usualCurves: ReadonlySet<string> = new Set(["2a8648ce3d030107", "2b81040022", "2b81040023"]);
export const p224 = "2b81040021";

/** As OpenSSL calls them. */
const curveNames = new Map([
  [p224, "secp224r1"],
  ["2b8104000a", "secp256k1"],
]);

const typeNames = new Map<string, string>([
  [ids.dsa, "dsa"],
  [ids.x25519, "x25519"],
  ["2a864886f70d01010a", "rsa-pss"],
  ["2b6571", "ed448"],
]);
