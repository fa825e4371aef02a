import { describe, expect, it } from "vitest";
import { createIntermediate, createLeaf, createRoot, crossSign, Extension } from "../../test/fixtures/pki.ts";
import { Certificate } from "./certificate.ts";
import { CredentialError } from "./errors.ts";
import { encodePem, pemLength } from "./pem.ts";

const root = await createRoot({ subject: "CN=root" });
const intermediate = await createIntermediate(root);

describe("a certificate", () => {
  it("tells the facts that Node and openssl print too", async () => {
    const notBefore = new Date("2030-01-01T00:00:00Z");
    const notAfter = new Date("2030-01-02T00:00:00Z");
    const { der } = await createLeaf(root, { notBefore, notAfter, serialNumber: "0a0b0c" });
    const certificate = new Certificate(der);
    expect(certificate).toMatchObject({
      serialNumber: "0A0B0C",
      notBefore,
      notAfter,
      subject: "",
      issuer: "CN=root",
      isCa: false,
      isSelfSigned: false,
      uris: ["spiffe://example.org/edge"],
    });
    expect(certificate.fingerprint).toBe(certificate.x509().fingerprint256.replaceAll(":", "").toLowerCase());
  });

  it("knows how long it is as PEM", async () => {
    const { certificate } = await createLeaf(root);
    for (const one of [certificate, root.certificate, intermediate.certificate])
      expect(one.pemLength).toBe(one.toPem().length);
    for (const length of [0, 1, 47, 48, 49, 96]) {
      const der = Buffer.alloc(length);
      expect(pemLength("CERTIFICATE", der)).toBe(encodePem("CERTIFICATE", der).length);
    }
  });

  it("is read by OpenSSL once while it is looked at", async () => {
    const [one, other] = [await createLeaf(root), await createLeaf(root)];
    const certificate = new Certificate(one.der);
    const x509 = certificate.x509();
    expect(certificate.x509()).toBe(x509);
    expect(certificate.extensions).toBe(certificate.extensions);
    expect(certificate.profile("leaf")).toBe(certificate.profile("leaf"));
    expect(new Certificate(other.der).x509().serialNumber).not.toBe(x509.serialNumber);
    expect(certificate.x509()).not.toBe(x509);
    expect(root.certificate.x509()).toBe(root.certificate.x509());
  });

  it("knows a root, an intermediate and a cross-signed root apart", async () => {
    const cross = await crossSign(root, await createRoot());
    expect(root.certificate).toMatchObject({ isCa: true, isSelfSigned: true });
    expect(intermediate.certificate).toMatchObject({ isCa: true, isSelfSigned: false });
    expect(cross.certificate).toMatchObject({ isCa: true, isSelfSigned: false, subject: "CN=root" });
  });

  it("is not self-signed when only its names say so", async () => {
    const impostor = await createIntermediate(root, { subject: "CN=root" });
    expect(impostor.certificate.isSelfSigned).toBe(false);
  });

  it.each([
    "spiffe://example.org/a,URI:spiffe://example.org/b",
    'spiffe://example.org/a", URI:spiffe://example.org/b',
    "spiffe://example.org/a\nURI:spiffe://example.org/b",
    "urn:x\0y",
  ])("reads the one URI name %j as one", async (uri) => {
    const { certificate } = await createLeaf(root, { uris: [uri] });
    expect(certificate.uris).toEqual([uri]);
  });

  it("reads several URI names in their order, and no other names", async () => {
    const { certificate } = await createLeaf(root, { uris: ["urn:b", "urn:a"], dns: ["example.org"] });
    expect(certificate.uris).toEqual(["urn:b", "urn:a"]);
  });

  it("takes an extension whose OID was made from a UUID", async () => {
    const uuid = new Extension("2.25.340282366920938463463374607431768211455", false, new Uint8Array([5, 0]));
    const { certificate } = await createLeaf(root, { extensions: [uuid] });
    expect(certificate.uris).toHaveLength(1);
  });

  it("is printed as its subject, else its URI, else its serial number", async () => {
    const bare = await createLeaf(root, { uris: [], serialNumber: "0f" });
    const leaf = await createLeaf(root, { uris: ["urn:a", "urn:b"] });
    expect([root, leaf, bare].map(({ certificate }) => String(certificate))).toEqual([
      "CN=root",
      "urn:a",
      "serial 0F",
    ]);
  });

  it("is printed on one short line of ASCII, whatever its issuer wrote", async () => {
    const { certificate } = await createLeaf(root, { uris: [`urn:\u001b[31m\r\n${"x".repeat(300)}`] });
    expect(String(certificate)).toMatch(/^urn:\?\[31m\?, x{108}$/);
  });

  it("goes through PEM unchanged", () => {
    expect(root.certificate.toPem()).toBe(root.pem);
    expect(root.certificate.toPem()).toMatch(
      /^-----BEGIN CERTIFICATE-----\n([\w+/=]{1,64}\n)+-----END CERTIFICATE-----\n$/,
    );
  });
});

describe("bytes that are not exactly one certificate", () => {
  it.each([
    ["nothing", Buffer.alloc(0)],
    ["text", Buffer.from("hello")],
    ["PEM", Buffer.from(root.pem)],
    ["a certificate that is cut", root.der.subarray(0, -1)],
    ["a certificate with something behind it", Buffer.concat([root.der, Buffer.from([0])])],
    ["two certificates", Buffer.concat([root.der, intermediate.der])],
    ["far too much", Buffer.concat([root.der, Buffer.alloc(64 * 1024)])],
  ])("are refused: %s", (_what, bytes) => {
    expect(() => new Certificate(bytes)).toThrow(CredentialError);
  });

  it("say so when an extension stands there twice", async () => {
    const twice = new Extension("2.5.29.17", false, new Uint8Array([0x30, 0]));
    const { certificate } = await createLeaf(root, { extensions: [twice] });
    expect(certificate.extensions.problem).toBe("the same extension twice");
  });

  it("say so when the names are garbage", async () => {
    const garbage = new Extension("2.5.29.17", false, new Uint8Array([4, 1, 7]));
    const { certificate } = await createLeaf(root, { uris: [], extensions: [garbage] });
    expect(certificate.extensions).toMatchObject({ problem: "tag 0x04 where tag 0x30 belongs", uris: [] });
  });
});
