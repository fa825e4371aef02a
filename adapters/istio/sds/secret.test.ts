import { describe, expect, it } from "vitest";
import { MeshError } from "../../../src/mesh/adapter.ts";
import { createCrl, crlPem } from "../../../test/fixtures/crl.ts";
import { createIntermediate, createKeys, createLeaf, createRoot } from "../../../test/fixtures/pki.ts";
import { bundleSecret, workloadSecret } from "../development/secrets.ts";
import { crlFile, type PartName, readPart } from "./secret.ts";
import {
  type DataSource,
  type DiscoveryResponse,
  type Secret,
  secret,
  spiffeCertValidatorConfig,
} from "../proto/sds.pb.ts";
import { secretTypeUrl } from "./secret.ts";

const noLists = { lists: [], problems: [] };
const now = new Date("2026-01-01T00:00:00Z");
const root = await createRoot();
const intermediate = await createIntermediate(root);
const leaf = await createLeaf(intermediate);
const anotherLeaf = await createLeaf(intermediate);
const whole = [leaf, intermediate, root].map(({ certificate }) => certificate);

describe("an answer of the agent", () => {
  it("is read as key and chain: leaf first, and without the roots that Istio puts at the end", async () => {
    const part = await readPart("default", answerOf(workloadSecret(leaf.key, whole)), now);
    expect(part).toEqual({
      workload: { key: leaf.key, certificates: [leaf.certificate, intermediate.certificate] },
    });
  });

  it("is read as a bundle", async () => {
    const part = await readPart("ROOTCA", answerOf(bundleSecret([root.certificate])), now);
    expect(part).toEqual({ bundle: [root.certificate], leftOut: [], crls: noLists });
  });

  it("holds the revocation lists of the mesh, and tells which of them cannot be read", async () => {
    const trustedCa = bytes(root.pem);
    const crlsOf = async (crl: DataSource) => {
      const answer = answerOf(validation({ trustedCa, crl, customValidatorConfig: null }));
      const part = await readPart("ROOTCA", answer, now);
      expect(part.bundle).toEqual([root.certificate]);
      return part.crls;
    };
    const pem = crlPem(createCrl(root));
    expect((await crlsOf(bytes(pem)))?.lists.map((list) => list.toPem())).toEqual([pem]);
    expect((await crlsOf({ inlineString: pem }))?.lists).toHaveLength(1);
    expect(await crlsOf(bytes("garbage"))).toMatchObject({
      lists: [],
      problems: [expect.stringContaining("not PEM")],
    });
    expect(await crlsOf({ filename: "/etc/passwd" })).toMatchObject({
      lists: [],
      problems: [expect.stringContaining("names a file")],
    });
    expect(await crlsOf({ filename: crlFile })).toBeUndefined();
  });

  it.each([
    ["PKCS#1, Istio's default", "RSA-2048", "pkcs1"],
    ["SEC1, with ECC_SIGNATURE_ALGORITHM", "P-256", "sec1"],
    ["PKCS#8, with PKCS8_KEY", "P-256", "pkcs8"],
  ] as const)("is read with a key in %s", async (_, keyType, type) => {
    const { key, certificate } = await createLeaf(root, { keys: await createKeys(keyType) });
    const pem = key.export({ type: type, format: "pem" });
    const { workload } = await readPart(
      "default",
      certificateAnswer({ privateKey: bytes(pem), of: [certificate.toPem()] }),
      now,
    );
    expect(workload?.key.equals(key)).toBe(true);
  });

  it("may hold its PEM as a string", async () => {
    const trustedCa = { inlineString: root.pem };
    const part = await readPart(
      "ROOTCA",
      answerOf(validation({ trustedCa, crl: null, customValidatorConfig: null })),
      now,
    );
    expect(part).toEqual({ bundle: [root.certificate], leftOut: [], crls: noLists });
  });
});

describe("an answer of a SPIRE agent in its place", () => {
  it("is read as the bundle of its one trust domain", async () => {
    expect(await readPart("ROOTCA", validatorAnswer(["example.org"]), now)).toEqual({
      bundle: [root.certificate],
      leftOut: [],
      crls: noLists,
    });
  });

  it.each([[[]], [["example.org", "federated.example"]]])("is refused when it is for %j", async (names) => {
    await expect(readPart("ROOTCA", validatorAnswer(names), now)).rejects.toThrow(
      `the trust bundle is for ${names.length} trust domains instead of one`,
    );
  });
});

describe("an answer of the agent is refused", () => {
  const good = answerOf(workloadSecret(leaf.key, whole));
  const [resource] = good.resources;

  it.each<[string, PartName, DiscoveryResponse, string]>([
    [
      "of an unknown type",
      "default",
      { ...good, typeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster" },
      'the answer for default is of type "type.googleapis.com/envoy.config.cluster.v3.Cluster"',
    ],
    [
      "with a resource of an unknown type",
      "default",
      { ...good, resources: good.resources.map((one) => ({ ...one, typeUrl: "x\u0007" })) },
      'the answer for default is of type "x"',
    ],
    ["without a secret", "default", { ...good, resources: [] }, "the answer for default holds no secret"],
    [
      "with two secrets",
      "default",
      { ...good, resources: [...good.resources, ...good.resources] },
      "the answer for default holds 2 secrets instead of one",
    ],
    ["with another secret", "ROOTCA", good, 'the answer for ROOTCA is the secret "default"'],
    [
      "with what is no secret",
      "default",
      { ...good, resources: [{ typeUrl: secretTypeUrl, value: Buffer.from("<html>") }] },
      "the answer for default is no secret",
    ],
    [
      "with a secret that is cut",
      "default",
      {
        ...good,
        resources: [{ typeUrl: secretTypeUrl, value: resource?.value.subarray(0, 500) ?? Buffer.alloc(0) }],
      },
      "the answer for default is no secret",
    ],
    [
      "with a bundle in place of the certificate",
      "default",
      answerOf({ ...bundleSecret([root.certificate]), name: "default" }),
      "the secret default is no TLS certificate",
    ],
    [
      "with a certificate in place of the bundle",
      "ROOTCA",
      answerOf({ ...workloadSecret(leaf.key, whole), name: "ROOTCA" }),
      "the secret ROOTCA is no validation context",
    ],
    [
      "with the name of a file",
      "ROOTCA",
      answerOf(
        validation({ trustedCa: { filename: "/etc/root-cert.pem" }, crl: null, customValidatorConfig: null }),
      ),
      "ROOTCA.trusted_ca names a file or a variable of the agent instead of holding the bytes",
    ],
    [
      "with a bundle for another validator of Envoy's",
      "ROOTCA",
      answerOf(
        validation({
          trustedCa: null,
          crl: null,
          customValidatorConfig: { name: "acme.validator", typedConfig: null },
        }),
      ),
      'the trust bundle comes as the validator "acme.validator" and not as certificates: this is not the Istio agent',
    ],
    [
      "without a private key, which a provider keeps",
      "default",
      certificateAnswer({ privateKey: null, of: [leaf.pem], provider: "cryptomb" }),
      'the agent keeps the private key to itself (private key provider "cryptomb")',
    ],
    [
      "with an empty private key",
      "default",
      certificateAnswer({ privateKey: bytes(""), of: [leaf.pem] }),
      "the agent keeps the private key to itself",
    ],
    [
      "with garbage for a key",
      "default",
      certificateAnswer({ privateKey: bytes("garbage"), of: [leaf.pem] }),
      "the secret default: ",
    ],
    [
      "with garbage for a chain",
      "default",
      certificateAnswer({
        privateKey: bytes(leaf.keyPem),
        of: ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
      }),
      "the secret default: certificate 1 of 1: ",
    ],
    [
      "with an empty chain",
      "default",
      certificateAnswer({ privateKey: bytes(leaf.keyPem), of: [] }),
      "the secret default: no certificate",
    ],
    [
      "with the key of another leaf",
      "default",
      answerOf(workloadSecret(anotherLeaf.key, whole)),
      "the secret default: the private key belongs to none of the certificates",
    ],
    [
      "with an empty bundle",
      "ROOTCA",
      answerOf(bundleSecret([])),
      "the secret ROOTCA: the trust bundle is empty",
    ],
  ])("%s", async (_, name, answer, problem) => {
    const error = await readPart(name, answer, now).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(MeshError);
    expect(error).toMatchObject({
      code: "ATTACHE_MESH_MALFORMED",
      problem: expect.stringContaining(problem) as string,
    });
  });
});

function answerOf(content: Secret): DiscoveryResponse {
  return {
    versionInfo: "1",
    resources: [{ typeUrl: secretTypeUrl, value: secret.encode(content) }],
    typeUrl: secretTypeUrl,
    nonce: "n",
  };
}

function certificateAnswer(content: {
  privateKey: DataSource | null;
  of: readonly string[];
  provider?: string;
}): DiscoveryResponse {
  const { privateKey, of, provider } = content;
  return answerOf({
    name: "default",
    tlsCertificate: {
      certificateChain: bytes(of.join("")),
      privateKey,
      privateKeyProvider: provider === undefined ? null : { providerName: provider },
    },
    validationContext: null,
  });
}

function validatorAnswer(names: readonly string[]): DiscoveryResponse {
  const trustDomains = names.map((name) => ({ name, trustBundle: bytes(root.pem) }));
  const typedConfig = {
    typeUrl: secretTypeUrl.replace(/Secret$/, "SPIFFECertValidatorConfig"),
    value: spiffeCertValidatorConfig.encode({ trustDomains }),
  };
  const customValidatorConfig = { name: "envoy.tls.cert_validator.spiffe", typedConfig };
  return answerOf(validation({ trustedCa: null, crl: null, customValidatorConfig }));
}

function validation(validationContext: Secret["validationContext"]): Secret {
  return { name: "ROOTCA", tlsCertificate: null, validationContext };
}

function bytes(text: string | Buffer): DataSource {
  return { inlineBytes: Buffer.from(text) };
}
