import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { createRoot } from "../../test/fixtures/pki.ts";
import { CredentialError } from "./errors.ts";
import { generateKey, keyTypes, parsePrivateKey, privateKeyPem, weakness } from "./keys.ts";
import type { Encoded } from "./pem.ts";

const { privateKey: ec } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const { privateKey: rsa } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ecParameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
const pkcs8 = privateKeyPem(ec);
const sec1 = ec.export({ type: "sec1", format: "pem" }).toString();
const pkcs1 = rsa.export({ type: "pkcs1", format: "pem" }).toString();

describe("a private key in all the forms that meshes send", () => {
  it.each<[string, Encoded, typeof ec]>([
    ["EC as PKCS#8", pkcs8, ec],
    ["EC as SEC1", sec1, ec],
    ["EC as SEC1 behind its parameters", ecParameters + sec1, ec],
    ["RSA as PKCS#8", privateKeyPem(rsa), rsa],
    ["RSA as PKCS#1", pkcs1, rsa],
    ["with CRLF", sec1.replaceAll("\n", "\r\n"), ec],
    ["as bytes", Buffer.from(sec1), ec],
    ["twice", sec1 + sec1, ec],
    ["EC as PKCS#8 in DER", ec.export({ type: "pkcs8", format: "der" }), ec],
    ["EC as SEC1 in DER", ec.export({ type: "sec1", format: "der" }), ec],
    ["RSA as PKCS#1 in DER", rsa.export({ type: "pkcs1", format: "der" }), rsa],
    ["RSA as PKCS#8 in DER", rsa.export({ type: "pkcs8", format: "der" }), rsa],
  ])("is read: %s", (_form, input, key) => {
    expect(parsePrivateKey(input).equals(key)).toBe(true);
  });

  it("is read from among certificates", async () => {
    const { pem } = await createRoot();
    expect(parsePrivateKey(pem + sec1 + pem).equals(ec)).toBe(true);
  });
});

describe("what should be a private key and is not", () => {
  const encrypted = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" } as const;
  const traditional = { ...encrypted, type: "sec1" } as const;

  it.each<[string, Encoded, string]>([
    ["nothing", "", "no private key"],
    ["text", "hello", "not PEM"],
    [
      "a public key",
      createPublicKey(ec).export({ type: "spki", format: "pem" }).toString(),
      "no private key",
    ],
    ["two keys", sec1 + pkcs1, "several private keys"],
    ["an encrypted key", ec.export(encrypted).toString(), "the private key is encrypted"],
    ["a key encrypted as of old", ec.export(traditional).toString(), "the private key is encrypted"],
    [
      "a block of other content",
      "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n",
      "not a private key",
    ],
    ["DER of other content", Buffer.from([0x30, 3, 2, 1, 1]), "not a private key"],
    ["a public key in DER", createPublicKey(ec).export({ type: "spki", format: "der" }), "not a private key"],
    ["more than a MiB", "x".repeat(1024 * 1024 + 1), "more than 1048576"],
  ])("is refused: %s", (_what, input, problem) => {
    expect(() => parsePrivateKey(input)).toThrow(CredentialError);
    expect(() => parsePrivateKey(input)).toThrow(problem);
  });

  it("is not quoted in the error, nor in what the error prints", () => {
    const broken = sec1.replace(/\n.{8}/, "\nAAAAAAAA");
    const secret = broken.split("\n")[2] ?? "";
    const error = caught(() => parsePrivateKey(broken));
    expect(error).toBeInstanceOf(CredentialError);
    expect(inspect(error, { depth: 10 })).not.toContain(secret);
  });
});

describe("a private key", () => {
  it("is published as one PEM block, also when it came as several", () => {
    const published = privateKeyPem(parsePrivateKey(ecParameters + sec1));
    expect(published).toMatch(/^-----BEGIN PRIVATE KEY-----\n[\w+/=\n]+\n-----END PRIVATE KEY-----\n$/);
    expect(published).toBe(pkcs8);
  });

  it("names its curve, also when it came with the curve spelled out", () => {
    const spelledOut = generateKeyPairSync("ec", {
      namedCurve: "P-256",
      paramEncoding: "explicit",
    }).privateKey;
    const key = parsePrivateKey(spelledOut.export({ type: "pkcs8", format: "pem" }).toString());
    expect(key.equals(spelledOut)).toBe(true);
    expect(key.export({ type: "pkcs8", format: "der" })).toHaveLength(138);
  });

  // How long the search for large primes takes is a matter of luck.
  for (const type of keyTypes) {
    it(`is made as ${type}, and strong`, { tags: /3072|4096/.test(type) ? ["thorough"] : [] }, async () => {
      const key = await generateKey(type);
      expect(key.type).toBe("private");
      expect(weakness(key)).toBeUndefined();
    });
  }

  it("is EC P-256 when nothing else is asked for", async () => {
    expect((await generateKey()).asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" });
  });

  it("is made off the event loop", async () => {
    const making = generateKey("rsa-2048");
    const first = await Promise.race([
      making,
      new Promise((resolve) => setImmediate(resolve, "the loop goes on")),
    ]);
    expect(first).toBe("the loop goes on");
    await making;
  });

  it("prints as nothing", () => {
    const secret = pkcs8.split("\n")[1] ?? "";
    expect(`${inspect(ec)} ${JSON.stringify({ key: ec })}`).not.toContain(secret);
  });
});

describe("a weak key", () => {
  it.each([
    ["RSA with 1024 bits", generateKeyPairSync("rsa", { modulusLength: 1024 })],
    ["EC on the curve secp256k1", generateKeyPairSync("ec", { namedCurve: "secp256k1" })],
    ["of the type ed25519", generateKeyPairSync("ed25519")],
    [
      "RSA with the public exponent 4294967291",
      generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 4_294_967_291 }),
    ],
    ["of the type rsa-pss", generateKeyPairSync("rsa-pss", { modulusLength: 2048 })],
  ])("is %s, private or public", (why, { privateKey, publicKey }) => {
    expect(weakness(privateKey)).toBe(why);
    expect(weakness(publicKey)).toBe(why);
  });
});

function caught(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}
