import fc from "fast-check";
import { describe, it } from "vitest";
import { anyText } from "../../test/fixtures/any-text.ts";
import { cases } from "../../test/fixtures/cases.ts";
import { createIntermediate, createLeaf, createRoot } from "../../test/fixtures/pki.ts";
import { assembleCredential, parseCredential } from "./assemble.ts";
import { defaultLimits } from "./candidate.ts";
import { Certificate } from "./certificate.ts";
import { parseCertificates } from "./certificates.ts";
import { CredentialError } from "./errors.ts";
import { parsePrivateKey } from "./keys.ts";
import type { Encoded } from "./pem.ts";
import { policies } from "./policies.ts";
import { parseSpiffeIdPattern, readSpiffeId } from "./spiffe-id.ts";

const now = new Date("2030-06-01T12:00:00Z");
const root = await createRoot();
const intermediate = await createIntermediate(root, { pathLength: 0 });
const leaf = await createLeaf(intermediate);
const rsaLeaf = await createLeaf(root, { keyType: "RSA-2048" });
const keyDer = leaf.key.export({ type: "pkcs8", format: "der" });

/** Bytes that were something once: some replaced, some taken out, some put in, the end cut off. */
const damaged = (...originals: readonly Buffer[]): fc.Arbitrary<Buffer> =>
  fc
    .record({
      original: fc.constantFrom(...originals),
      edits: fc.array(
        fc.record({ at: fc.nat(2000), remove: fc.nat(3), insert: fc.uint8Array({ maxLength: 3 }) }),
        { minLength: 1, maxLength: 4 },
      ),
      cut: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(100) }),
    })
    .map(({ original, edits, cut }) => {
      const bytes = [...original];
      for (const { at, remove, insert } of edits) bytes.splice(at % bytes.length, remove, ...insert);
      return Buffer.from(bytes.slice(0, bytes.length - cut));
    });

/** The same length, so that the frame stays whole and the content goes wrong. */
const flipped = (...originals: readonly Buffer[]): fc.Arbitrary<Buffer> =>
  fc
    .record({
      original: fc.constantFrom(...originals),
      flips: fc.array(fc.record({ at: fc.nat(2000), bits: fc.integer({ min: 1, max: 255 }) }), {
        minLength: 1,
        maxLength: 3,
      }),
    })
    .map(({ original, flips }) => {
      const bytes = Buffer.from(original);
      for (const { at, bits } of flips)
        bytes.writeUInt8(bytes.readUInt8(at % bytes.length) ^ bits, at % bytes.length);
      return bytes;
    });

const pemPieces = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        leaf.pem,
        root.pem,
        leaf.keyPem,
        "-----BEGIN ",
        "-----END ",
        "CERTIFICATE",
        "-----",
        "\n",
        "\r\n\r\n",
      ),
      fc.constantFrom(
        "Proc-Type: 4,ENCRYPTED\n",
        "DEK-Info: ",
        "PRIVATE KEY",
        "EC PARAMETERS",
        "====",
        "AAAA",
        "\0",
        ": ,",
      ),
      fc.string({ maxLength: 40 }),
    ),
    { maxLength: 20 },
  )
  .map((pieces) => pieces.join(""));

const encoded: fc.Arbitrary<Encoded> = fc.oneof(
  anyText(),
  fc.uint8Array({ maxLength: 200 }),
  pemPieces,
  pemPieces.map((text) => Buffer.from(text)),
  damaged(leaf.der, root.der, keyDer, Buffer.concat([leaf.der, root.der])),
  damaged(Buffer.from(leaf.pem), Buffer.from(leaf.keyPem)),
  flipped(leaf.der, rsaLeaf.der, keyDer),
);

describe("whatever a mesh sends", { tags: ["search"] }, () => {
  it("as a chain or bundle, is certificates or a CredentialError", () => {
    fc.assert(
      fc.property(encoded, (input) => onlyCredentialErrors(() => parseCertificates(input))),
      { numRuns: cases(200, 5_000) },
    );
  });

  it("as a key, is a key or a CredentialError", () => {
    fc.assert(
      fc.property(encoded, (input) => onlyCredentialErrors(() => parsePrivateKey(input))),
      { numRuns: cases(200, 5_000) },
    );
  });

  it("as a whole, is a credential or a CredentialError", () => {
    fc.assert(
      fc.property(encoded, encoded, encoded, (key, certificates, bundle) =>
        onlyCredentialErrors(() => parseCredential({ key, certificates, bundle, now })),
      ),
      { numRuns: cases(75, 3_000) },
    );
  });

  it("as a certificate that just parses, gets a verdict from each policy", () => {
    const ders = [leaf.der, intermediate.der, root.der, rsaLeaf.der];
    fc.assert(
      fc.property(flipped(...ders), (der) =>
        onlyCredentialErrors(() => {
          const odd = new Certificate(der);
          const certificates = [odd, leaf.certificate, intermediate.certificate];
          const bundle = [root.certificate, odd];
          const credentials = [
            assembleCredential({ key: leaf.key, certificates, bundle, now }),
            { key: rsaLeaf.key, chain: [odd, intermediate.certificate] as const, bundle },
            { key: leaf.key, chain: [leaf.certificate, odd] as const, bundle },
          ];
          for (const credential of credentials)
            for (const { check } of policies) check(candidate(credential));
        }),
      ),
      { numRuns: cases(75, 3_000) },
    );
  });

  it("as an identity, is a SPIFFE ID or not", () => {
    const pattern = parseSpiffeIdPattern("spiffe://*.org/*a*/**");
    const text = fc.oneof(anyText(), fc.stringMatching(/^spiffe:\/\/[a-z./*%:@]{0,40}$/));
    fc.assert(
      fc.property(text, (uri) => {
        readSpiffeId(uri);
        pattern.test(uri);
        onlyCredentialErrors(() => parseSpiffeIdPattern(uri));
      }),
    );
  });

  it.each([
    ["a million beginnings", "-----BEGIN CERTIFICATE-----".repeat(38_000)],
    ["a million ends", "-----END CERTIFICATE-----\n".repeat(40_000)],
    ["a million blank lines", `-----BEGIN CERTIFICATE-----${"\n".repeat(1_000_000)}`],
    [
      "a million headers",
      `-----BEGIN CERTIFICATE-----\n${"a: b\n".repeat(200_000)}\n-----END CERTIFICATE-----\n`,
    ],
    [
      "one endless block",
      `-----BEGIN CERTIFICATE-----\n${"A".repeat(1_000_000)}\n-----END CERTIFICATE-----\n`,
    ],
    ["DER in DER in DER", Buffer.from(nested(4_000))],
    [
      "a hundred thousand tiny values",
      Buffer.concat([Buffer.from([0x30, 0x83, 3, 0, 0]), Buffer.alloc(0x30000, "\x05\0")]),
    ],
  ])("takes no endless time: %s", (_what, input) => {
    onlyCredentialErrors(() => parseCertificates(input));
    onlyCredentialErrors(() => parsePrivateKey(input));
  });
});

function onlyCredentialErrors(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof CredentialError)) throw error;
  }
}

function candidate(credential: Parameters<(typeof policies)[number]["check"]>[0]["credential"]) {
  return {
    credential,
    expected: {},
    allowed: [],
    published: { key: leaf.key, chain: [leaf.certificate, intermediate.certificate], bundle: [] } as const,
    now,
    clockSkewMs: 0,
    limits: defaultLimits,
  };
}

function nested(depth: number): number[] {
  const bytes: number[] = [];
  for (let length = 4 * (depth - 1); length >= 0; length -= 4)
    bytes.push(0x30, 0x82, length >> 8, length & 0xff);
  return bytes;
}
