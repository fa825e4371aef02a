/**
 * `npm run bench:attacks`: how much CPU one answer of a hostile mesh takes, from its bytes to the verdict, and
 * what the profile of a certificate costs. Each answer is one turn of the event loop; the goal is 50 ms.
 */
import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { parseCredential } from "../../src/credentials/assemble.ts";
import { defaultLimits } from "../../src/credentials/candidate.ts";
import { CredentialError } from "../../src/credentials/errors.ts";
import { privateKeyPem } from "../../src/credentials/keys.ts";
import { admit } from "../../src/credentials/policies.ts";
import { profileOf } from "../../src/credentials/profile.ts";
import { parseSpiffeIdPattern } from "../../src/credentials/spiffe-id.ts";
import {
  boolean,
  extension,
  handMadeLeaf,
  handMadeRoot,
  type HandMade,
  implicit,
  integer,
  oid,
  publicKeyInfo,
  sequence,
  tlv,
} from "../fixtures/der.ts";

const root = handMadeRoot();
const leaf = handMadeLeaf(root);
const isCa = extension("2.5.29.19", sequence(boolean()), boolean());

/** No certificate comes twice: attaché keeps the verdicts on those that it knows. */
let serial = 0;

/** As many roots as the limits of a bundle admit: 512 to be read, 64 to be judged, 1 MiB in all. */
function roots(make: (serial: Buffer) => HandMade): string[] {
  const pems: string[] = [];
  for (let bytes = 0; pems.length < 512;) {
    serial += 1;
    const { pem } = make(integer(1, serial >> 8, serial & 255));
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
const explicitCurve = key("secp521r1", "explicit");
const many = (count: number, one: Buffer) => sequence(...Array<Buffer>(count).fill(one));

const attacks: Readonly<Record<string, () => string[]>> = {
  "one root": () => [root.pem],
  "64 roots on P-256": () => roots((serial) => handMadeRoot({ serial }, root.key)).slice(0, 64),
  "64 roots of one name on P-521, without key identifiers": () =>
    roots((serial) => handMadeRoot({ serial }, p521)).slice(0, 64),
  "512 roots on P-256": () => roots((serial) => handMadeRoot({ serial }, root.key)),
  "512 roots of RSA with an exponent of 3071 bits": () => {
    const publicKey = rsaKey(384, 383);
    return roots((serial) => handMadeRoot({ serial, publicKey }));
  },
  "roots of RSA with 16384 bits": () => {
    const publicKey = rsaKey(2048, 8);
    return roots((serial) => handMadeRoot({ serial, publicKey }));
  },
  "512 roots on a curve that is spelled out": () => {
    const publicKey = publicKeyInfo(explicitCurve);
    return roots((serial) => handMadeRoot({ serial, publicKey }));
  },
  "64 roots with 200 names each": () => {
    const extensions = [isCa, extension("2.5.29.17", many(200, implicit(6, "spiffe://example.org/a")))];
    return roots((serial) => handMadeRoot({ serial, extensions }, root.key)).slice(0, 64);
  },
  "one root with 10,000 name constraints": () => {
    const value = sequence(tlv(0xa0, ...Array<Buffer>(10_000).fill(sequence(implicit(2, ".x")))));
    return [handMadeRoot({ extensions: [isCa, extension("2.5.29.30", value, boolean())] }, root.key).pem];
  },
  "16 roots with 8,000 purposes each": () => {
    const extensions = [isCa, extension("2.5.29.37", many(8_000, oid("1.2.3.4.5")))];
    return roots((serial) => handMadeRoot({ serial, extensions }, root.key));
  },
  "95,000 blocks that begin": () => ["-----BEGIN ".repeat(95_000)],
};

for (const [what, make] of Object.entries(attacks)) {
  const times = Array.from({ length: 6 }, () => {
    const bundle = make();
    const began = process.cpuUsage();
    const verdict = judge(bundle);
    const { user, system } = process.cpuUsage(began);
    return { ms: (user + system) / 1_000, verdict };
  });
  // The first compiles the code.
  const worst = Math.max(...times.slice(1).map(({ ms }) => ms));
  print(what, `${worst.toFixed(1)} ms`, times[0]?.verdict ?? "");
}

const repeats = 2_000;
for (const [what, made, role] of [
  ["profile of a leaf", leaf, "leaf"],
  ["profile of a root", root, "authority"],
] as const) {
  const began = process.cpuUsage();
  for (let left = repeats; left > 0; left -= 1) profileOf(made.der, role);
  const { user, system } = process.cpuUsage(began);
  print(what, `${((user + system) / 1_000 / repeats).toFixed(3)} ms`, "goal: 0.3 ms");
}

function judge(bundle: readonly string[]): string {
  const now = new Date();
  try {
    const pieces = { key: privateKeyPem(leaf.key), certificates: leaf.pem, bundle, now };
    const admission = admit({
      credential: parseCredential(pieces),
      expected: {},
      allowed: [parseSpiffeIdPattern("spiffe://**")],
      now,
      clockSkewMs: 60_000,
      limits: defaultLimits,
    });
    return admission.kind === "admitted" ? "admitted" : `rejected: ${admission.rejection.policy}`;
  } catch (error) {
    if (error instanceof CredentialError) return `refused: ${error.problem.slice(0, 60)}`;
    throw error;
  }
}

function print(what: string, time: string, more: string): void {
  process.stdout.write(`${what.padEnd(56)} ${time.padStart(10)}  ${more}\n`);
}
