import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  type PrivateKeyInput,
} from "node:crypto";
import { promisify } from "node:util";
import { CredentialError } from "./errors.ts";
import { checkSize, decodePem, type Encoded, isDer } from "./pem.ts";
import { keyProblem, type KeyRole } from "./public-key.ts";

export const keyTypes = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096"] as const;
export type KeyType = (typeof keyTypes)[number];

/** Makes a private key, off the event loop; its public half is `createPublicKey(key)`. */
export async function generateKey(type: KeyType = "ec-p256"): Promise<KeyObject> {
  const { privateKey } = await generators[type]();
  return privateKey;
}

/**
 * The one private key in `input`: PKCS#8, SEC1 or PKCS#1, as PEM with whatever else around, or as DER.
 * @throws CredentialError if there is none, if there are several, or if it needs a password.
 */
export function parsePrivateKey(input: Encoded): KeyObject {
  checkSize([input]);
  if (isDer(input)) return decodeKey(Buffer.from(input), ["pkcs8", "sec1", "pkcs1"]);
  const keys = decodePem(input).filter(({ label }) => label.endsWith("PRIVATE KEY"));
  const [first, ...others] = keys;
  if (first === undefined) throw new CredentialError("no private key");
  if (others.some(({ der }) => !der.equals(first.der))) throw new CredentialError("several private keys");
  if (first.encrypted) {
    throw new CredentialError("the private key is encrypted", { remedy: "Give the key without a password." });
  }
  return decodeKey(first.der, [encodings.get(first.label) ?? "pkcs8"]);
}

/**
 * The only place where a private key becomes text: one PEM block, PKCS#8, with a final newline.
 * For what is published; never for a message.
 */
export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

/** As {@link keyProblem}, of a private or public key that is used for `role`. */
export function weakness(key: KeyObject, role: KeyRole = "leaf"): string | undefined {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return keyProblem(publicKey.export({ type: "spki", format: "der" }), role);
}

const generate = promisify(generateKeyPair);
const rsa = (modulusLength: number) => () => generate("rsa", { modulusLength });
const ec = (namedCurve: string) => () => generate("ec", { namedCurve });
const generators = {
  "ec-p256": ec("prime256v1"),
  "ec-p384": ec("secp384r1"),
  "rsa-2048": rsa(2048),
  "rsa-3072": rsa(3072),
  "rsa-4096": rsa(4096),
} satisfies Record<KeyType, unknown>;

type KeyEncoding = NonNullable<PrivateKeyInput["type"]>;

const encodings: ReadonlyMap<string, KeyEncoding> = new Map([
  ["EC PRIVATE KEY", "sec1"],
  ["RSA PRIVATE KEY", "pkcs1"],
]);

function decodeKey(der: Buffer, types: readonly KeyEncoding[]): KeyObject {
  const causes: unknown[] = [];
  for (const type of types) {
    try {
      return withNamedCurve(createPrivateKey({ key: der, format: "der", type }));
    } catch (cause) {
      causes.push(cause);
    }
  }
  throw new CredentialError("not a private key that OpenSSL reads", { cause: causes.at(-1) });
}

/**
 * An EC key may spell out its curve (RFC 3279, section 2.3.5), which neither BoringSSL nor Go reads: a JWK
 * names it.
 */
function withNamedCurve(key: KeyObject): KeyObject {
  if (key.asymmetricKeyType !== "ec" || key.export({ type: "sec1", format: "der" }).length < maxNamedEcKey)
    return key;
  return createPrivateKey({ key: key.export({ format: "jwk" }), format: "jwk" });
}

/**
 * A SEC1 key on P-521 that names its curve takes 223 bytes; one that spells out P-256 takes more than 300.
 */
const maxNamedEcKey = 256;
