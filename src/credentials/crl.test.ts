import { describe, expect, it } from "vitest";
import { createCrl, crlEntry, crlPem, type CrlTerms } from "../../test/fixtures/crl.ts";
import { boolean, extension, integer, oid, sequence, tlv } from "../../test/fixtures/der.ts";
import { createIntermediate, createLeaf, createRoot, KeyUsageFlags } from "../../test/fixtures/pki.ts";
import { maxCrlBytes, maxCrls, parseCrls } from "./crl.ts";

const root = await createRoot();
const other = await createRoot();
const leaf = await createLeaf(root);
const reason = (value: number) => extension("2.5.29.21", tlv(0x0a, Buffer.of(value)));

describe("parseCrls()", () => {
  it("reads lists in DER and in PEM, also with text around and other blocks", () => {
    const der = createCrl(root, { revoked: [leaf.certificate] });
    const { lists, problems } = parseCrls(der, `text\n${crlPem(createCrl(other))}${other.pem}`);
    expect(problems).toEqual([]);
    expect(lists.map((list) => [list.isOf(root.certificate), list.isOf(other.certificate)])).toEqual([
      [true, false],
      [false, true],
    ]);
    expect(lists.map((list) => list.revokes(leaf.certificate))).toEqual([true, false]);
    expect(lists[0]?.toPem()).toBe(crlPem(der));
    expect(lists[0]?.thisUpdate).toEqual(new Date("2025-01-01T00:00:00Z"));
    expect(lists[0]?.nextUpdate).toEqual(new Date("2049-01-01T00:00:00Z"));
  });

  it("shares equal lists", () => {
    const der = createCrl(root);
    expect(parseCrls(der).lists[0]).toBe(parseCrls(Buffer.from(der)).lists[0]);
  });

  it.each<[what: string, terms: CrlTerms]>([
    ["of version 1", { version: null, hasKeyId: false }],
    ["with a reason", { entries: [crlEntry(Buffer.of(1), reason(1))] }],
    ["with a date after 2049", { nextUpdate: new Date("2060-01-01T00:00:00Z") }],
    ["with an unknown extension", { extensions: [extension("1.2.3.4", sequence())] }],
    ["without extensions", { extensions: [] }],
  ])("reads a list %s", (_, terms) => {
    const { lists, problems } = parseCrls(createCrl(root, terms));
    expect(problems).toEqual([]);
    expect(lists[0]?.isOf(root.certificate)).toBe(true);
  });

  it("verifies signatures of RSA and Ed25519, and of no key that must not sign lists", async () => {
    const rsa = sequence(oid("1.2.840.113549.1.1.11"), tlv(5));
    const rsaRoot = await createRoot({ keyType: "RSA-2048" });
    const edRoot = await createRoot({ keyType: "Ed25519" });
    const onlyCertificates = await createRoot({ keyUsage: [KeyUsageFlags.keyCertSign] });
    const crls = [
      createCrl(rsaRoot, { algorithm: rsa }),
      createCrl(edRoot, { algorithm: sequence(oid("1.3.101.112")), digest: null }),
      createCrl(onlyCertificates),
    ];
    const issuers = [rsaRoot, edRoot, onlyCertificates];
    const { lists } = parseCrls(...crls);
    expect(lists.map((list, index) => issuers[index] && list.isOf(issuers[index].certificate))).toEqual([
      true,
      true,
      false,
    ]);
  });

  it("does not take a list for that of another CA of the same name", async () => {
    const [one, another] = [await createRoot({ subject: "CN=a" }), await createRoot({ subject: "CN=a" })];
    const [named, unnamed] = parseCrls(createCrl(one), createCrl(one, { hasKeyId: false })).lists;
    expect([named?.mayBeOf(another.certificate), named?.isOf(another.certificate)]).toEqual([false, false]);
    expect([unnamed?.mayBeOf(another.certificate), unnamed?.isOf(another.certificate)]).toEqual([
      true,
      false,
    ]);
  });

  it.each<[what: string, terms: CrlTerms, problem: string]>([
    ["without a next update", { nextUpdate: null }, "no next update"],
    ["of version 3", { version: integer(2) }, "a version that does not exist"],
    ["with two algorithms", { outerAlgorithm: sequence(oid("1.2.3")) }, "two different signature algorithms"],
    ["signed with SHA-1", { algorithm: sequence(oid("1.2.840.10045.4.1")) }, "a signature of a kind"],
    ["without a name", { issuer: sequence() }, "no issuer"],
    ["with extensions in a list that is not marked as constructed", { extensionsTag: 0x10 }, "tag 0x10"],
    ["of a scope", { extensions: [extension("2.5.29.28", sequence(), boolean())] }, "a critical extension"],
    ["of a scope that is not critical", { extensions: [extension("2.5.29.28", sequence())] }, "a scope"],
    ["of differences", { extensions: [extension("2.5.29.27", integer(1))] }, "a scope of its own"],
    ["with a malformed number", { extensions: [extension("2.5.29.20", sequence())] }, "tag 0x30"],
    ["with a malformed key identifier", { extensions: [extension("2.5.29.35", integer(1))] }, "tag 0x02"],
    [
      "with an extension twice",
      { extensions: [extension("1.2.3", "a"), extension("1.2.3", "b")] },
      "the same extension twice",
    ],
    [
      "with a critical entry",
      { entries: [crlEntry(Buffer.of(1), extension("1.2.3", "a", boolean()))] },
      "a critical extension",
    ],
    [
      "with entries of another issuer",
      { entries: [crlEntry(Buffer.of(1), extension("2.5.29.29", sequence()))] },
      "entries for other issuers",
    ],
    [
      "with no extension of an entry where there should be one",
      { entries: [sequence(integer(1), tlv(0x17, "250101000000Z"), sequence())] },
      "an empty list of extensions",
    ],
    ["with an extension without a name", { extensions: [sequence(tlv(6), tlv(4))] }, "a malformed OID"],
    ["with an unknown reason", { entries: [crlEntry(Buffer.of(1), reason(7))] }, "a malformed reason"],
    ["with a reason of a delta", { entries: [crlEntry(Buffer.of(1), reason(8))] }, "a malformed reason"],
    ["with a padded serial number", { entries: [crlEntry(Buffer.of(0, 1))] }, "a serial number"],
    [
      "with an entry that is dated wrongly",
      { entries: [sequence(integer(1), tlv(0x17, "2502300000Z"))] },
      "a malformed time",
    ],
    [
      "of version 1 with reasons",
      { version: null, entries: [crlEntry(Buffer.of(1), reason(1))] },
      "version 1 with extensions",
    ],
  ])("leaves out a list %s", (_, terms, problem) => {
    const { lists, problems } = parseCrls(createCrl(root, terms), createCrl(other));
    expect(lists).toHaveLength(1);
    expect(problems).toEqual([expect.stringContaining(`Revocation list 1 of 2 has: ${problem}`)]);
  });

  it.each([
    ["garbage", Buffer.from("garbage")],
    ["PEM that is cut", "-----BEGIN X509 CRL-----\nAAAA"],
    ["a certificate", root.der],
    ["what follows a list", Buffer.concat([createCrl(root), Buffer.of(0)])],
    ["a time that is no date", Buffer.from(createCrl(root)).fill("9", 60, 64)],
  ])("leaves out %s", (_, input) => {
    const { lists, problems } = parseCrls(input);
    expect([lists.length, problems.length]).toEqual([0, 1]);
  });

  it("leaves out what is too much, and says so", () => {
    const many = Array.from({ length: maxCrls + 1 }, () => createCrl(root));
    const entries = Array.from({ length: maxCrlBytes / 20 }, (_, index) =>
      crlEntry(Buffer.from([1, index >> 8, index & 255])),
    );
    expect(parseCrls(...many)).toMatchObject({
      lists: { length: maxCrls },
      problems: [`Only the first ${maxCrls} of ${maxCrls + 1} revocation lists are read.`],
    });
    expect(parseCrls(createCrl(root, { entries }))).toMatchObject({
      lists: [],
      problems: [expect.stringMatching(/^They take \d+ bytes, more than/)],
    });
  });

  it("tries few keys for one list", async () => {
    const roots = await Promise.all(Array.from({ length: 6 }, () => createRoot({ subject: "CN=same" })));
    const last = roots.at(-1) ?? root;
    const [list] = parseCrls(createCrl(last, { hasKeyId: false })).lists;
    expect(roots.map(({ certificate }) => list?.isOf(certificate))).toEqual(roots.map(() => false));
    const [named] = parseCrls(createCrl(last)).lists;
    expect(roots.map(({ certificate }) => named?.isOf(certificate)).at(-1)).toBe(true);
  });
});

it("a list is of the CA that signed it, also of an intermediate", async () => {
  const intermediate = await createIntermediate(root);
  const [list] = parseCrls(createCrl(intermediate)).lists;
  expect([list?.isOf(intermediate.certificate), list?.isOf(root.certificate)]).toEqual([true, false]);
  expect(String(list)).toMatch(/^intermediate \d+$/);
  expect(JSON.stringify(list)).toBe(JSON.stringify(list?.fingerprint));
});
