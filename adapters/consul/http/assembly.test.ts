import { describe, expect, it } from "vitest";
import type { Credential } from "../../../src/mesh/adapter.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { createIntermediate, createLeaf, createRoot, crossSign } from "../../../test/fixtures/pki.ts";
import { Assembly } from "./assembly.ts";

const old = await createRoot();
const next = await createRoot();
const crossSigned = await crossSign(next, old);
const oldLeaf = await createLeaf(old, { notBefore: day(1), notAfter: day(11) });
const nextLeaf = await createLeaf(next);

describe("a leaf and roots that come apart", () => {
  it("make one credential, whichever comes first, and none when the same comes again", () => {
    for (const isLeafFirst of [true, false]) {
      const { assembly, seen } = setUp();
      if (isLeafFirst) assembly.setLeaf(leafOf(oldLeaf));
      assembly.setBundle([old.certificate]);
      if (!isLeafFirst) assembly.setLeaf(leafOf(oldLeaf));
      assembly.setLeaf(leafOf(oldLeaf));
      assembly.setBundle([old.certificate]);
      expect(seen).toHaveLength(1);
      expect(seen[0]).toMatchObject({
        chain: [oldLeaf.certificate],
        bundle: [old.certificate],
        // Nine tenths of ten days.
        renewalTime: day(10),
      });
    }
  });

  it("trust a new root at once, with the leaf that there is", () => {
    const { assembly, seen } = setUp();
    assembly.setLeaf(leafOf(oldLeaf));
    assembly.setBundle([old.certificate]);
    assembly.setBundle([old.certificate, next.certificate]);
    expect(seen.at(-1)).toMatchObject({
      chain: [oldLeaf.certificate],
      bundle: [old.certificate, next.certificate],
    });
  });

  it("put the cross-signed root into the chain, and out of it when it has expired", async () => {
    const expiring = await crossSign(next, old, { notAfter: day(3) });
    const { assembly, seen, clock } = setUp();
    assembly.setBundle([next.certificate, old.certificate]);
    assembly.setLeaf(leafOf(nextLeaf, expiring));
    expect(seen[0]?.chain).toEqual([nextLeaf.certificate, expiring.certificate]);
    expect(seen[0]?.bundle).toEqual([next.certificate, old.certificate]);
    clock.set(day(4));
    assembly.setLeaf(leafOf(nextLeaf, expiring));
    expect(seen[1]?.chain).toEqual([nextLeaf.certificate]);
  });

  it("put what signed the leaf behind it, wherever Consul lists it", async () => {
    const signing = await createIntermediate(next);
    const leaf = await createLeaf(signing);
    const { assembly, seen } = setUp();
    assembly.setBundle([old.certificate]);
    assembly.setLeaf(leafOf(leaf, crossSigned, signing, crossSigned));
    expect(seen[0]?.chain).toEqual([leaf.certificate, signing.certificate, crossSigned.certificate]);
  });
});

describe("a leaf that leads to none of the roots", () => {
  it("waits for the root that it leads to, and no longer when the watch ends", () => {
    const { assembly, seen, clock } = setUp();
    assembly.setBundle([old.certificate]);
    assembly.setLeaf(leafOf(nextLeaf));
    expect(seen).toEqual([]);
    assembly[Symbol.dispose]();
    expect(clock.sleeps).toEqual([]);
    assembly.setBundle([old.certificate, next.certificate]);
    expect(seen).toHaveLength(1);
  });
});

describe("an answer with far too many intermediates", () => {
  it("is malformed", async () => {
    const many = await Promise.all(Array.from({ length: 20 }, () => createIntermediate(old)));
    const { assembly } = setUp();
    assembly.setBundle([old.certificate]);
    expect(() => assembly.setLeaf(leafOf(oldLeaf, ...many))).toThrow(
      "ATTACHE_MESH_MALFORMED: Consul's leaf: ",
    );
  });
});

type Issued = typeof old;

function leafOf(leaf: Issued, ...intermediates: readonly Issued[]) {
  return { key: leaf.key, certificates: [leaf, ...intermediates].map(({ certificate }) => certificate) };
}

function setUp() {
  const clock = manualClock(day(2));
  const seen: Credential[] = [];
  return { clock, seen, assembly: new Assembly(clock, (credential) => seen.push(credential)) };
}

function day(number: number): Date {
  return new Date(Date.UTC(2026, 0, number));
}
