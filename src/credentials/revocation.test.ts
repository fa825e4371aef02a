import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createCrl, type CrlTerms, forged } from "../../test/fixtures/crl.ts";
import {
  asVersion1,
  createIntermediate,
  createLeaf,
  createRoot,
  crossSign,
  type Issued,
  KeyUsageFlags,
} from "../../test/fixtures/pki.ts";
import { parseCrls } from "./crl.ts";
import { revocationOf, revokedIn } from "./revocation.ts";

const root = await createRoot();
const other = await createRoot();
const intermediate = await createIntermediate(root);
const leaf = await createLeaf(root);
const now = new Date("2026-01-01T00:00:00Z");
const minutes = (count: number) => new Date(now.getTime() + count * 60_000);
const crlsOf = (...ders: readonly Buffer[]) => parseCrls(...ders);
const listOf = (issuer: Issued, terms?: CrlTerms) =>
  crlsOf(createCrl(issuer, terms)).lists[0] ?? expect.fail();

type Input = Parameters<typeof revocationOf>[0];

function revocation(input: Partial<Input>) {
  return revocationOf({
    offered: undefined,
    published: [],
    chain: [leaf.certificate],
    bundle: [root.certificate],
    now,
    clockSkewMs: 60_000,
    secretBytes: 1024 * 1024,
    ...input,
  });
}

describe("revocationOf()", () => {
  it("publishes the newest list of each CA, of intermediates too", () => {
    const [old, current, below] = [
      createCrl(root),
      createCrl(root, { thisUpdate: new Date("2025-06-01T00:00:00Z") }),
      createCrl(intermediate),
    ];
    const chain = [leaf.certificate, intermediate.certificate] as const;
    const found = revocation({ offered: crlsOf(old, below, current), chain });
    expect(found.problem).toBeUndefined();
    expect(found.lists.map(({ der }) => der)).toEqual([current, below]);
    expect(found.remarks).toEqual([]);
  });

  it.each<[what: string, input: Partial<Input>, reason: string, message: string]>([
    ["no list", {}, "NoLists", "The mesh sends no revocation lists."],
    [
      "a root without a list",
      { offered: crlsOf(createCrl(root)), bundle: [root.certificate, other.certificate] },
      "NotCovered",
      "There is no revocation list of the CA",
    ],
    [
      "an intermediate without a list",
      { offered: crlsOf(createCrl(root)), chain: [leaf.certificate, intermediate.certificate] },
      "NotCovered",
      "There is no revocation list of the CA",
    ],
    [
      "a list that has ended",
      { offered: crlsOf(createCrl(root, { nextUpdate: minutes(5) })) },
      "NotCurrent",
      "is current: the last one is for 2025-01-01T00:00:00.000Z to 2026-01-01T00:05:00.000Z.",
    ],
    [
      "a list that may not have begun by Envoy's clock",
      { offered: crlsOf(createCrl(root, { thisUpdate: now })) },
      "NotCurrent",
      "is current",
    ],
    [
      "a root that is not self-signed",
      {
        offered: crlsOf(createCrl(intermediate)),
        bundle: [intermediate.certificate],
      },
      "NotCovered",
      "is not self-signed",
    ],
    ["too little room", { offered: crlsOf(createCrl(root)), secretBytes: 100 }, "TooLarge", "The lists take"],
  ])("does not let Envoy check with %s", (_, input, reason, message) => {
    expect(revocation(input).problem).toEqual({
      reason,
      message: expect.stringContaining(message) as string,
    });
  });

  it("does not let Envoy check where it could take the list of another key", async () => {
    const [one, another] = [await createRoot({ subject: "CN=a" }), await createRoot({ subject: "CN=a" })];
    const bundle = [one.certificate, another.certificate];
    const unnamed = crlsOf(createCrl(one, { hasKeyId: false }), createCrl(another, { hasKeyId: false }));
    expect(revocation({ offered: unnamed, bundle }).problem?.reason).toBe("Ambiguous");
    const named = crlsOf(createCrl(one), createCrl(another));
    expect(revocation({ offered: named, bundle }).problem).toBeUndefined();
  });

  it("takes one list for an old and a renewed root of one key", async () => {
    const renewed = await createRoot({ keys: root.keys, subject: root.subject });
    const found = revocation({
      offered: crlsOf(createCrl(root)),
      bundle: [root.certificate, renewed.certificate],
    });
    expect([found.lists.length, found.problem]).toEqual([1, undefined]);
  });

  it("leaves out lists that no CA of the mesh has signed, and says so", async () => {
    const noSigner = await createRoot({ keyUsage: [KeyUsageFlags.keyCertSign] });
    const offered = crlsOf(createCrl(root), forged(createCrl(root)), createCrl(other), Buffer.from("x"));
    const found = revocation({ offered });
    expect([found.lists.length, found.problem]).toEqual([1, undefined]);
    expect(found.remarks).toEqual([
      expect.stringContaining("not PEM"),
      expect.stringMatching(/^The revocation list of "root \d+" is signed by no CA of the mesh\.$/),
      expect.stringMatching(/^The revocation list of "root \d+" is signed by no CA of the mesh\.$/),
    ]);
    const only = revocation({ offered: crlsOf(createCrl(noSigner)), bundle: [noSigner.certificate] });
    expect(only.problem?.reason).toBe("NotCovered");
  });

  it("keeps a published list until a newer one has begun, and asks again then", () => {
    const published = [listOf(root)];
    const next = createCrl(root, { thisUpdate: now });
    const before = revocation({ published, offered: crlsOf(next) });
    expect(before).toMatchObject({ lists: published, nextChangeAt: minutes(1) });
    const after = revocation({ published, offered: crlsOf(next), now: minutes(1) });
    expect(after.lists.map(({ der }) => der)).toEqual([next]);
  });

  it("keeps what is published while Envoy does not check: a Secret that is in use never goes", () => {
    const published = [listOf(root, { nextUpdate: minutes(1) })];
    expect(revocation({ published })).toMatchObject({ lists: published, problem: { reason: "NotCurrent" } });
  });

  it("asks again five minutes and the skew before the first list ends", () => {
    const offered = crlsOf(createCrl(root, { nextUpdate: minutes(60) }), createCrl(other));
    const found = revocation({ offered, bundle: [root.certificate, other.certificate] });
    expect(found.nextChangeAt).toEqual(minutes(54));
  });

  it("covers a root of version 1", () => {
    const old = asVersion1(root).certificate;
    const found = revocation({ offered: crlsOf(createCrl(root)), bundle: [old] });
    expect(found.problem).toBeUndefined();
  });

  it("lets Envoy check only what it has a current list for, in any order of clock, lists and roots", async () => {
    const roots = [root, other, await createRoot({ keys: root.keys, subject: root.subject })];
    const cas = [...roots, intermediate, await crossSign(other, root)];
    const list = fc.record({
      issuer: fc.constantFrom(...cas),
      from: fc.integer({ min: -30, max: 30 }),
      life: fc.integer({ min: 0, max: 60 }),
      isForged: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(list, { maxLength: 6 }),
        fc.array(list, { maxLength: 3 }),
        fc.uniqueArray(fc.constantFrom(...roots), { minLength: 1 }),
        fc.subarray([intermediate]),
        fc.array(fc.integer({ min: -40, max: 90 }), { minLength: 1, maxLength: 8 }),
        (sent, before, bundle, intermediates, clocks) => {
          const ders = (all: typeof sent) =>
            all.map(({ issuer, from, life, isForged }) => {
              const der = createCrl(issuer, { thisUpdate: minutes(from), nextUpdate: minutes(from + life) });
              return isForged ? forged(der) : der;
            });
          let published = crlsOf(...ders(before)).lists;
          for (const clock of clocks) {
            const found = revocation({
              offered: crlsOf(...ders(sent)),
              published,
              bundle: bundle.map(({ certificate }) => certificate),
              chain: [leaf.certificate, ...intermediates.map(({ certificate }) => certificate)],
              now: minutes(clock),
            });
            if (found.problem === undefined) {
              for (const { certificate } of [...bundle, ...intermediates]) {
                const own = found.lists.filter((one) => one.isOf(certificate));
                expect(own).toHaveLength(1);
                for (const { thisUpdate, nextUpdate } of own) {
                  expect(+thisUpdate).toBeLessThan(+minutes(clock));
                  expect(+nextUpdate).toBeGreaterThan(+minutes(clock + 6));
                  expect(+(found.nextChangeAt ?? 0)).toBeLessThanOrEqual(+nextUpdate - 6 * 60_000);
                }
              }
              expect(found.lists.every((one) => cas.some(({ certificate }) => one.isOf(certificate)))).toBe(
                true,
              );
            } else {
              expect(found.lists).toEqual(published);
            }
            published = found.lists;
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("revokedIn()", () => {
  const credential = (crls: readonly Buffer[], chain = [leaf] as readonly [Issued, ...Issued[]]) => {
    const [first, ...rest] = chain;
    const certificates = [first.certificate, ...rest.map(({ certificate }) => certificate)] as const;
    return { key: leaf.key, chain: certificates, bundle: [root.certificate], crls: crlsOf(...crls) };
  };

  it("finds a leaf and an intermediate that their CA revokes, also by a list that has ended", async () => {
    const below = await createLeaf(intermediate);
    const ended = { nextUpdate: new Date("2025-02-01T00:00:00Z") };
    const revoking = createCrl(root, { revoked: [leaf.certificate], ...ended });
    expect(revokedIn(credential([revoking]))).toBe(leaf.certificate);
    const revokingCa = createCrl(root, { revoked: [intermediate.certificate] });
    expect(revokedIn(credential([revokingCa], [below, intermediate]))).toBe(intermediate.certificate);
    const byIntermediate = createCrl(intermediate, { revoked: [below.certificate] });
    expect(revokedIn(credential([byIntermediate], [below, intermediate]))).toBe(below.certificate);
  });

  it("believes no list that is not of the issuer, and the newest only", () => {
    const revoking = createCrl(root, { revoked: [leaf.certificate] });
    const newer = createCrl(root, { thisUpdate: new Date("2025-06-01T00:00:00Z") });
    expect(revokedIn(credential([forged(revoking)]))).toBeUndefined();
    expect(revokedIn(credential([createCrl(other, { revoked: [leaf.certificate] })]))).toBeUndefined();
    expect(revokedIn(credential([revoking, newer]))).toBeUndefined();
  });
});
