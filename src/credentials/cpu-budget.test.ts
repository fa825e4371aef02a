import { createHash, generateKeyPairSync, X509Certificate } from "node:crypto";
import { beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import { handMadeRoot, integer, oid, sequence, tlv } from "../../test/fixtures/der.ts";
import { createLeaf, createRoot, crossSign } from "../../test/fixtures/pki.ts";
import { assembleCredential } from "./assemble.ts";
import { defaultLimits } from "./candidate.ts";
import { Certificate } from "./certificate.ts";
import { parseCertificates, readRoots, readThrough } from "./certificates.ts";
import { CredentialError } from "./errors.ts";
import { admit } from "./policies.ts";
import { parseSpiffeIdPattern } from "./spiffe-id.ts";

/**
 * What a hostile mesh makes attaché compute, counted: signatures take up to two milliseconds each, all else
 * far less.
 */
let verify: MockInstance;

beforeEach(() => {
  verify = vi.spyOn(X509Certificate.prototype, "verify");
  return () => verify.mockRestore();
});

const now = new Date("2030-06-01T12:00:00Z");

describe("reading an answer of a mesh", () => {
  it("verifies no signature, also of roots that are self-signed", async () => {
    const roots = await Promise.all(Array.from({ length: 20 }, () => createRoot()));
    expect(parseCertificates(...roots.map(({ pem }) => pem))).toHaveLength(20);
    expect(verify).not.toHaveBeenCalled();
  });

  it("gives the event loop its turn again and again, as do the facts that a verdict needs", async () => {
    const { key } = handMadeRoot();
    const pems = Array.from({ length: 64 }, (_, at) => handMadeRoot({ serial: integer(1, at) }, key).pem);
    // Each look at the clock is a millisecond later, and a slice has five.
    let nowMs = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => (nowMs += 1));
    const read = await turnsOf(() => readRoots(...pems));
    expect(read.turns).toBeGreaterThan(10);
    expect((await turnsOf(() => readThrough(read.result.bundle))).turns).toBeGreaterThan(10);
    clock.mockRestore();
  });

  it.each([
    ["15,000 names", tlv(4, sequence(...Array.from({ length: 15_000 }, () => tlv(0x86, "a:"))))],
    ["a value that is nested 15,000 times", tlv(4, nested(15_000))],
  ])("refuses a handful of certificates with %s before OpenSSL reads them", (_what, value) => {
    const extensions = [sequence(oid("1.2.3.4"), value)];
    const ders = Array.from({ length: 3 }, (_, index) => {
      return handMadeRoot({ serial: integer(index + 1), extensions }).pem;
    });
    expect(() => parseCertificates(...ders)).toThrow(CredentialError);
    expect(() => parseCertificates(...ders)).toThrow("more than 32768 ASN.1 elements");
  });
});

describe("putting a chain in order", () => {
  it("gives up on CAs that may all have signed each other", async () => {
    const terms = { subject: "CN=same", hasKeyIds: false };
    const cas = await Promise.all(Array.from({ length: 6 }, () => createRoot(terms)));
    const web = await Promise.all(
      Array.from({ length: 16 }, (_, index) =>
        crossSign(cas[index % 6] ?? never(), cas[(index * 5 + 1) % 6] ?? never()),
      ),
    );
    const leaf = await createLeaf(cas[0] ?? never(), { hasKeyIds: false });
    const certificates = [leaf, ...web].map(({ certificate }) => certificate);
    try {
      assembleCredential({ key: leaf.key, certificates, bundle: [], now });
    } catch (error) {
      expect(error).toBeInstanceOf(CredentialError);
    }
    expect(verify.mock.calls.length).toBeLessThanOrEqual(2 * 32);
  });
});

describe("a verdict", () => {
  const judge = (credential: ReturnType<typeof assembleCredential>, limits = defaultLimits) =>
    admit({
      credential,
      expected: {},
      allowed: [parseSpiffeIdPattern("spiffe://**")],
      now,
      clockSkewMs: 0,
      limits,
    });

  it("on 64 roots of one name without key identifiers verifies ten signatures at most", async () => {
    const terms = { subject: "CN=same", hasKeyIds: false };
    const roots = await Promise.all(Array.from({ length: 64 }, () => createRoot(terms)));
    const issuer = roots[40] ?? never();
    const leaf = await createLeaf(issuer, { hasKeyIds: false });
    const bundle = roots.map(({ certificate }) => certificate);
    const credential = assembleCredential({ key: leaf.key, certificates: [leaf.certificate], bundle, now });
    verify.mockClear();
    expect(judge(credential)).toMatchObject({
      rejection: { policy: "chain-is-ordered-and-leads-to-bundle" },
    });
    expect(verify.mock.calls.length).toBeLessThanOrEqual(10);
  });

  it("on a bundle that is too large verifies none, and looks into none", async () => {
    const root = await createRoot();
    const leaf = await createLeaf(root);
    const bundle = Array<Certificate>(512).fill(root.certificate);
    const profile = vi.spyOn(Certificate.prototype, "profile");
    const credential = { key: leaf.key, chain: [leaf.certificate] as const, bundle };
    expect(judge(credential)).toMatchObject({ rejection: { policy: "is-within-limits" } });
    expect(verify).not.toHaveBeenCalled();
    expect(profile).not.toHaveBeenCalled();
    profile.mockRestore();
  });

  it.each([
    ["RSA with 16384 bits", rsaKey(2048, 3)],
    ["RSA with a public exponent of 3071 bits", rsaKey(384, 384)],
    ["EC on a curve that is spelled out", explicitKey()],
  ])("never verifies with %s", (_what, publicKey) => {
    const odd = new Certificate(handMadeRoot({ publicKey }).der);
    expect(odd.isSelfSigned).toBe(false);
    expect(verify).not.toHaveBeenCalled();
  });
});

/** How many turns of the event loop pass until `work` has its result. */
async function turnsOf<T>(work: () => Promise<T>) {
  let turns = 0;
  let next = setImmediate(function turned() {
    turns += 1;
    next = setImmediate(turned);
  });
  const result = await work();
  clearImmediate(next);
  return { turns, result };
}

function rsaKey(modulusBytes: number, exponentBytes: number): Buffer {
  const digits = (bytes: number) =>
    createHash("shake256", { outputLength: bytes - 1 })
      .update("odd")
      .digest();
  const odd = (bytes: number) => integer(0x41, ...digits(bytes).fill(1, bytes - 2));
  const numbers = sequence(tlv(2, Buffer.from([0, 0xc1]), digits(modulusBytes)), odd(exponentBytes));
  return sequence(sequence(oid("1.2.840.113549.1.1.1"), tlv(5)), tlv(3, Buffer.from([0]), numbers));
}

function explicitKey(): Buffer {
  const options = { namedCurve: "P-256", paramEncoding: "explicit" } as const;
  return generateKeyPairSync("ec", options).publicKey.export({ type: "spki", format: "der" });
}

function nested(depth: number): Buffer {
  const length = (rest: number) => Buffer.from([0x30, 0x83, rest >> 16, (rest >> 8) & 255, rest & 255]);
  return Buffer.concat(Array.from({ length: depth }, (_, index) => length(5 * (depth - 1 - index))));
}

function never(): never {
  throw new Error("there is one");
}
