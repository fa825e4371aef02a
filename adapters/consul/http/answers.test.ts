import { describe, expect, it } from "vitest";
import { createLeaf, createRoot, crossSign } from "../../../test/fixtures/pki.ts";
import { readLeaf, readRoots } from "./answers.ts";

const old = await createRoot();
const root = await createRoot();
const crossSigned = await crossSign(root, old);
const leaf = await createLeaf(root);
const sec1 = leaf.key.export({ type: "sec1", format: "pem" }).toString();

describe("Consul's answer about a leaf", () => {
  it("gives the key and all certificates, whatever else it says", async () => {
    const { key, certificates } = await readLeaf(
      JSON.stringify({
        CertPEM: `${leaf.pem}${crossSigned.pem}`,
        PrivateKeyPEM: sec1,
        Namespace: "default",
        ValidAfter: 7,
      }),
    );
    expect(certificates.map(({ fingerprint }) => fingerprint)).toEqual([
      leaf.certificate.fingerprint,
      crossSigned.certificate.fingerprint,
    ]);
    expect(leaf.certificate.x509().checkPrivateKey(key)).toBe(true);
  });

  it.each([
    ["an empty body", ""],
    ["a body that is cut", JSON.stringify({ CertPEM: leaf.pem, PrivateKeyPEM: sec1 }).slice(0, -40)],
    ["a page of HTML", "<html>"],
    ["null", "null"],
    ["a list", "[]"],
    ["no key", JSON.stringify({ CertPEM: leaf.pem })],
    ["a key of another type", JSON.stringify({ CertPEM: leaf.pem, PrivateKeyPEM: 1 })],
    ["no certificate", JSON.stringify({ CertPEM: "", PrivateKeyPEM: sec1 })],
    ["garbage for a certificate", JSON.stringify({ CertPEM: "garbage", PrivateKeyPEM: sec1 })],
    ["a certificate for a key", JSON.stringify({ CertPEM: leaf.pem, PrivateKeyPEM: leaf.pem })],
    ["a key that is cut", JSON.stringify({ CertPEM: leaf.pem, PrivateKeyPEM: sec1.slice(0, 80) })],
  ])("is malformed with %s, and its error quotes none of it", async (_what, text) => {
    const error = await thrownBy(readLeaf(text));
    expect(error).toMatchObject({ code: "ATTACHE_MESH_MALFORMED" });
    expect(error.message).toMatch(/^ATTACHE_MESH_MALFORMED: Consul's answer about the leaf: /);
    expect(withCauses(error)).not.toContain(sec1.split("\n")[1]);
    expect(withCauses(error)).not.toContain("BEGIN");
  });
});

describe("Consul's answer about the roots", () => {
  it("makes every root of the list trusted, and no cross-signed one", async () => {
    const { listed, trustDomain } = await readRoots(
      JSON.stringify({
        ActiveRootID: "any",
        TrustDomain: "11.consul",
        Roots: [
          { RootCert: old.pem, IntermediateCerts: null, Active: false },
          { RootCert: root.pem, IntermediateCerts: [crossSigned.pem], Active: true },
          { RootCert: old.pem, IntermediateCerts: [] },
        ],
      }),
    );
    expect(trustDomain).toBe("11.consul");
    expect(listed.bundle.map(({ fingerprint }) => fingerprint)).toEqual([
      old.certificate.fingerprint,
      root.certificate.fingerprint,
    ]);
  });

  it.each(["null", "[]"])("with the roots %s says that the CA is not ready", async (roots) => {
    const error = await thrownBy(readRoots(`{"TrustDomain":"11.consul","Roots":${roots}}`));
    expect(error).toMatchObject({ code: "ATTACHE_MESH_UNAVAILABLE" });
  });

  it.each([
    ["no list", { TrustDomain: "11.consul" }],
    [
      "garbage among the roots",
      { TrustDomain: "11.consul", Roots: [{ RootCert: root.pem }, { RootCert: "x" }] },
    ],
    ["a root without a certificate", { TrustDomain: "11.consul", Roots: [{}] }],
  ])("is malformed with %s", async (_what, body) => {
    expect(await thrownBy(readRoots(JSON.stringify(body)))).toMatchObject({ code: "ATTACHE_MESH_MALFORMED" });
  });
});

async function thrownBy(read: Promise<unknown>): Promise<Error> {
  try {
    await read;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("nothing was thrown");
}

function withCauses(error: Error): string {
  const cause = error.cause instanceof Error ? withCauses(error.cause) : "";
  return `${error.message} ${cause}`;
}
