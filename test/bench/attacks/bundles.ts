import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import {
  boolean,
  extension,
  handMadeRoot,
  type HandMade,
  implicit,
  integer,
  oid,
  publicKeyInfo,
  sequence,
  tlv,
} from "../../fixtures/der.ts";

/** Trust bundles that cost as much as possible, each another one with each call: attaché keeps verdicts. */
export type MakeBundle = () => readonly string[];

const root = handMadeRoot();
const isCa = extension("2.5.29.19", sequence(boolean()), boolean());

let serial = 0;

/** As many as an answer holds: 512 to be read, 1 MiB in all. */
function roots(make: (serial: Buffer) => HandMade, most = 512): string[] {
  const pems: string[] = [];
  for (let bytes = 0; pems.length < most;) {
    serial += 1;
    const { pem } = make(integer(1, (serial >> 16) & 255, (serial >> 8) & 255, serial & 255));
    bytes += pem.length;
    if (bytes > 1024 * 1024) break;
    pems.push(pem);
  }
  return pems;
}

function rsaKey(modulusBytes: number, exponentBytes: number): Buffer {
  const digits = (bytes: number) => createHash("shake256", { outputLength: bytes }).update("odd").digest();
  const numbers = sequence(
    tlv(2, Buffer.from([0, 0xc1]), digits(modulusBytes - 1)),
    tlv(2, Buffer.from([0x41]), digits(exponentBytes)),
  );
  return sequence(sequence(oid("1.2.840.113549.1.1.1"), tlv(5)), tlv(3, Buffer.from([0]), numbers));
}

const key = (namedCurve: string, paramEncoding: "named" | "explicit" = "named"): KeyObject =>
  generateKeyPairSync("ec", { namedCurve, paramEncoding }).privateKey;
const p521 = key("secp521r1");
const explicitCurve = publicKeyInfo(key("secp521r1", "explicit"));
const [longExponent, longModulus] = [rsaKey(384, 383), rsaKey(2048, 8)];
const many = (count: number, one: Buffer) => sequence(...Array<Buffer>(count).fill(one));
const uris = extension("2.5.29.17", many(200, implicit(6, "spiffe://example.org/a")));
const constraints = extension(
  "2.5.29.30",
  sequence(tlv(0xa0, ...Array<Buffer>(10_000).fill(sequence(implicit(2, ".x"))))),
  boolean(),
);
const purposes = extension("2.5.29.37", many(8_000, oid("1.2.3.4.5")));

export const bundles = {
  "one root": () => roots((serial) => handMadeRoot({ serial }, root.key), 1),
  "64 roots on P-256": () => roots((serial) => handMadeRoot({ serial }, root.key), 64),
  "64 roots of one name on P-521, without key identifiers": () =>
    roots((serial) => handMadeRoot({ serial }, p521), 64),
  "512 roots of one name on P-521": () => roots((serial) => handMadeRoot({ serial }, p521)),
  "512 roots of RSA with an exponent of 3071 bits": () =>
    roots((serial) => handMadeRoot({ serial, publicKey: longExponent })),
  "roots of RSA with 16384 bits": () => roots((serial) => handMadeRoot({ serial, publicKey: longModulus })),
  "512 roots on a curve that is spelled out": () =>
    roots((serial) => handMadeRoot({ serial, publicKey: explicitCurve })),
  "64 roots with 200 names each": () =>
    roots((serial) => handMadeRoot({ serial, extensions: [isCa, uris] }, root.key), 64),
  "one root with 10,000 name constraints": () =>
    roots((serial) => handMadeRoot({ serial, extensions: [isCa, constraints] }, root.key), 1),
  "16 roots with 8,000 purposes each": () =>
    roots((serial) => handMadeRoot({ serial, extensions: [isCa, purposes] }, root.key), 16),
  "95,000 blocks that begin": () => ["-----BEGIN ".repeat(95_000)],
} satisfies Readonly<Record<string, MakeBundle>>;
