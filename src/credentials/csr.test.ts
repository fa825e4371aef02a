import "reflect-metadata";
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from "@peculiar/x509";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createCsr } from "./csr.ts";
import { CredentialError } from "./errors.ts";
import { generateKey } from "./keys.ts";

const id = "spiffe://example.org/edge";

describe("a certificate signing request", () => {
  it.each(["ec-p256", "ec-p384", "rsa-2048"] as const)(
    "of a key %s is one that another library verifies",
    async (type) => {
      const key = await generateKey(type);
      const csr = new Pkcs10CertificateRequest(await createCsr(key, id));
      expect(await csr.verify()).toBe(true);
      const spki = createPublicKey(key).export({ type: "spki", format: "der" });
      expect(Buffer.from(csr.publicKey.rawData).equals(spki)).toBe(true);
    },
  );

  it("has an empty subject and one critical URI name, and nothing else", async () => {
    const csr = new Pkcs10CertificateRequest(await createCsr(await generateKey(), id));
    expect(csr.subject).toBe("");
    expect(csr.attributes).toHaveLength(1);
    expect(csr.extensions).toHaveLength(1);
    const [names] = csr.extensions;
    expect(names).toBeInstanceOf(SubjectAlternativeNameExtension);
    expect(names?.critical).toBe(true);
    expect((names as SubjectAlternativeNameExtension).names.toJSON()).toEqual([{ type: "url", value: id }]);
  });

  it("is one PEM block of the type that Consul wants", async () => {
    expect(await createCsr(await generateKey(), id)).toMatch(
      /^-----BEGIN CERTIFICATE REQUEST-----\n([\w+/=]{1,64}\n)+-----END CERTIFICATE REQUEST-----\n$/,
    );
  });

  it("is not made for what is no SPIFFE ID", async () => {
    await expect(createCsr(await generateKey(), "https://example.org")).rejects.toThrow(CredentialError);
  });

  it("is not made with a key that verifiers refuse", async () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    await expect(createCsr(privateKey, id)).rejects.toThrow("the key is of the type ed25519");
  });
});
