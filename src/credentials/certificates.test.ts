import { describe, expect, it } from "vitest";
import { createIntermediate, createLeaf, createRoot } from "../../test/fixtures/pki.ts";
import { maxCertificates, parseCertificates, parseRoots } from "./certificates.ts";
import { CredentialError } from "./errors.ts";
import { encodePem, type Encoded } from "./pem.ts";

const root = await createRoot();
const intermediate = await createIntermediate(root);
const leaf = await createLeaf(intermediate);
const all = [leaf, intermediate, root].map(({ certificate }) => certificate.fingerprint);
const pems = [leaf, intermediate, root].map(({ pem }) => pem);
const ders = [leaf, intermediate, root].map(({ der }) => der);
const ecParameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";

const fingerprints = (...inputs: Encoded[]) =>
  parseCertificates(...inputs).map(({ fingerprint }) => fingerprint);

describe("certificates in all the forms that meshes send", () => {
  it.each<[string, Encoded]>([
    ["PEM", pems.join("")],
    ["PEM as bytes", Buffer.from(pems.join(""))],
    ["PEM with CRLF", pems.join("").replaceAll("\n", "\r\n")],
    ["PEM without a final line end", pems.join("").trimEnd()],
    ["PEM in lines of 76", pems.map((pem) => pem.replace(/(.{64})\n(.{12})/, "$1$2\n")).join("")],
    ["PEM with text around", `Bag Attributes: é\n${pems.join("subject=/CN=x\n\n")}# end`],
    ["PEM that is indented", pems.join("").replaceAll(/^/gm, "    ")],
    ["PEM after a byte order mark", `\ufeff${pems.join("")}`],
    ["PEM among keys and parameters", ecParameters + leaf.keyPem + pems.join("") + leaf.keyPem],
    ["PEM with the old label", pems.join("").replaceAll("CERTIFICATE", "X509 CERTIFICATE")],
    ["DER, one after the other", Buffer.concat(ders)],
    ["DER in a view that is no Buffer", new Uint8Array(Buffer.concat(ders))],
  ])("are read in their order: %s", (_form, input) => {
    expect(fingerprints(input)).toEqual(all);
  });

  it("are read from several inputs, duplicates included", () => {
    expect(fingerprints(...pems, Buffer.concat(ders))).toEqual([...all, ...all]);
  });

  it("share the CAs, which thousands of credentials have in common", () => {
    const [first, again] = [parseCertificates(...pems), parseCertificates(Buffer.concat(ders))];
    expect(again[1]).toBe(first[1]);
    expect(again[2]).toBe(first[2]);
    expect(again[0]).not.toBe(first[0]);
  });

  it("are none in nothing", () => {
    expect(parseCertificates("", " \r\n", new Uint8Array(0))).toEqual([]);
  });

  it("leave no view on a larger buffer behind", () => {
    const [certificate] = parseCertificates(Buffer.concat(ders));
    expect(certificate?.der.buffer.byteLength).toBe(leaf.der.length);
  });
});

describe("what should be certificates and is not", () => {
  const body = leaf.pem.split("\n").slice(1, -2).join("\n");
  const damaged = (find: string | RegExp, instead: string) =>
    [pems[1], leaf.pem.replace(find, instead), pems[2]].join("");

  it.each<[string, Encoded, RegExp]>([
    ["text without a block", "hello", /not PEM/],
    ["bytes of no meaning", Buffer.from([0xff, 0xfe, 0x00]), /not PEM/],
    ["a block without an end", damaged(/-----END.*\n/, ""), /3 PEM blocks begin and \d are whole/],
    [
      "a block with another end",
      damaged("END CERTIFICATE", "END FOO"),
      /3 PEM blocks begin and \d are whole/,
    ],
    [
      "a block with bytes that are not base64",
      damaged(/\n\w/, "\n\u0001"),
      /3 PEM blocks begin and \d are whole/,
    ],
    ["an empty block", damaged(body, ""), /PEM blocks begin|certificate 2 of 3/],
    ["a block with other content", damaged(body, "aGVsbG8="), /certificate 2 of 3: not a DER-encoded/],
    ["a block that is cut", damaged(body, body.slice(0, 129)), /certificate 2 of 3: not a DER-encoded/],
    ["a block that is cut within a byte", damaged(body, body.slice(0, 128)), /begin and 2 are whole/],
    [
      "a block that is damaged down to a blank line",
      damaged(body, `x: y\n!!\n\n${body}`),
      /3 PEM blocks begin and 2 are whole/,
    ],
    ["a block with what is not base64", damaged(body, `${body.slice(0, -1)}!`), /begin and 2 are whole/],
    ["DER that is cut", Buffer.concat(ders).subarray(0, -1), /DER that is cut/],
    [
      "DER with garbage behind it",
      Buffer.concat([...ders, Buffer.from("x")]),
      /DER that is cut or is no certificate/,
    ],
    ["DER of indefinite length", Buffer.from([0x30, 0x80, 0, 0]), /DER that is cut or is no certificate/],
    ["DER of another kind", Buffer.from([0x30, 3, 2, 1, 1]), /certificate 1 of 1: not a DER-encoded/],
    ["more than a MiB", Buffer.alloc(1024 * 1024 + 1), /1048577 bytes, more than 1048576/],
    [
      "too many",
      "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".repeat(maxCertificates + 1),
      /more than 512/,
    ],
    ["too many in DER", Buffer.from("3000".repeat(maxCertificates + 1), "hex"), /more than 512 certificates/],
  ])("is refused: %s", (_what, input, problem) => {
    expect(() => parseCertificates(input)).toThrow(CredentialError);
    expect(() => parseCertificates(input)).toThrow(problem);
  });

  it("is measured in all, not each", () => {
    const half = `${"#".repeat(600_000)}\n${leaf.pem}`;
    expect(parseCertificates(half)).toHaveLength(1);
    expect(() => parseCertificates(half, half)).toThrow(/more than 1048576/);
  });
});

describe("parseRoots()", () => {
  const strange = Buffer.from("3003020101", "hex");

  it("leaves out a root that cannot be read, and names it", async () => {
    const root = await createRoot();
    for (const input of [Buffer.concat([strange, root.der]), encodePem("CERTIFICATE", strange) + root.pem]) {
      const { bundle, leftOut } = parseRoots(input, input);
      expect(bundle.map(({ fingerprint }) => fingerprint)).toEqual([root.certificate.fingerprint]);
      expect(leftOut).toMatchObject([{ reason: "UnreadableByEnvoy" }]);
      expect(leftOut[0]?.message).toMatch(
        /^A root of the mesh \(SHA-256 [0-9a-f]{16}…\) is left out: certificate 3 of 4: /,
      );
    }
  });

  it("fails if none can be read", () => {
    expect(() => parseRoots(Buffer.concat([strange, strange]))).toThrow("certificate 2 of 2");
    expect(parseRoots("")).toEqual({ bundle: [], leftOut: [] });
  });
});
