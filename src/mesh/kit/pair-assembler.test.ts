import { describe, expect, it } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import {
  createIntermediate,
  createLeaf,
  createRoot,
  crossSign,
  type Issued,
} from "../../../test/fixtures/pki.ts";
import type { Certificate } from "../../credentials/certificate.ts";
import type { Credential } from "../../credentials/credential.ts";
import { CredentialError } from "../../credentials/errors.ts";
import { PairAssembler, type Parts, settleMs } from "./pair-assembler.ts";

const old = await createRoot();
const next = await createRoot();
const oldLeaf = await createLeaf(old);
const nextLeaf = await createLeaf(next);
const datedLeaf = await createLeaf(old, { notBefore: day(1), notAfter: day(11) });
const crossSigned = await crossSign(next, old);

describe("a chain that leads to the bundle", () => {
  it("is handed on at once, and once only", () => {
    const { settling, seen } = setUp();
    settling.add(partsOf(oldLeaf, old, next));
    settling.add(partsOf(oldLeaf, next, old));
    expect(seen).toEqual([credential(oldLeaf, old, next)]);
    settling.add(partsOf(nextLeaf, old, next));
    expect(seen).toHaveLength(2);
  });

  it("is handed on again if another root cannot be read", () => {
    const { settling, seen } = setUp();
    settling.add(partsOf(oldLeaf, old));
    const leftOut = [{ fingerprint: "00", reason: "UnreadableByEnvoy", message: "…" }] as const;
    for (let times = 0; times < 2; times += 1) settling.add({ ...partsOf(oldLeaf, old), leftOut });
    expect(seen).toEqual([credential(oldLeaf, old), { ...credential(oldLeaf, old), leftOut }]);
  });
});

describe("a chain that does not lead to the bundle", () => {
  it("waits for one that does", async () => {
    const { settling, seen, clock } = setUp();
    settling.add(partsOf(nextLeaf, old));
    await clock.advance(settleMs - 1);
    expect(seen).toEqual([]);
    settling.add(partsOf(nextLeaf, old, next));
    expect(seen).toEqual([credential(nextLeaf, old, next)]);
    expect(clock.sleeps).toEqual([]);
  });

  it("is handed on for the policies to judge, when none comes, or more of the same", async () => {
    const { settling, seen, clock } = setUp();
    settling.add(partsOf(nextLeaf, old));
    await clock.advance(settleMs / 2);
    settling.add(partsOf(oldLeaf, next));
    await clock.advance(settleMs / 2);
    expect(seen).toEqual([credential(oldLeaf, next)]);
  });

  it("leaves no timer behind when no caller waits any more", () => {
    const { settling, clock } = setUp();
    settling.add(partsOf(nextLeaf, old));
    settling[Symbol.dispose]();
    expect(clock.sleeps).toEqual([]);
  });
});

describe("a leaf and roots that come apart", () => {
  it("make one credential, whichever comes first, and none when the same comes again", () => {
    for (const isLeafFirst of [true, false]) {
      const { seen, ...pairs } = setUpParts();
      if (isLeafFirst) pairs.addLeaf(leafOf(datedLeaf));
      pairs.addBundle([old.certificate]);
      if (!isLeafFirst) pairs.addLeaf(leafOf(datedLeaf));
      pairs.addLeaf(leafOf(datedLeaf));
      pairs.addBundle([old.certificate]);
      expect(seen).toHaveLength(1);
      expect(seen[0]).toMatchObject({
        chain: [datedLeaf.certificate],
        bundle: [old.certificate],
        renewalTime: day(10),
      });
    }
  });

  it("trust a new root at once, with the leaf that there is", () => {
    const { seen, ...pairs } = setUpParts();
    pairs.addLeaf(leafOf(datedLeaf));
    pairs.addBundle([old.certificate]);
    pairs.addBundle([old.certificate, next.certificate]);
    expect(seen.at(-1)).toMatchObject({
      chain: [datedLeaf.certificate],
      bundle: [old.certificate, next.certificate],
    });
  });

  it("put a cross-signed root into the chain, and out of it when it has expired", async () => {
    const expiring = await crossSign(next, old, { notAfter: day(3) });
    const { seen, clock, ...pairs } = setUpParts();
    pairs.addBundle([next.certificate, old.certificate]);
    pairs.addLeaf(leafOf(nextLeaf, expiring));
    expect(seen[0]?.chain).toEqual([nextLeaf.certificate, expiring.certificate]);
    expect(seen[0]?.bundle).toEqual([next.certificate, old.certificate]);
    clock.set(day(4));
    pairs.addLeaf(leafOf(nextLeaf, expiring));
    expect(seen[1]?.chain).toEqual([nextLeaf.certificate]);
  });

  it("put what signed the leaf behind it, wherever it is listed", async () => {
    const signing = await createIntermediate(next);
    const leaf = await createLeaf(signing);
    const { seen, ...pairs } = setUpParts();
    pairs.addBundle([old.certificate]);
    pairs.addLeaf(leafOf(leaf, crossSigned, signing, crossSigned));
    expect(seen[0]?.chain).toEqual([leaf.certificate, signing.certificate, crossSigned.certificate]);
  });
});

describe("a leaf that leads to none of the roots", () => {
  it("waits for the root that it leads to, and no longer when the watch ends", () => {
    const { seen, clock, ...pairs } = setUpParts();
    pairs.addBundle([old.certificate]);
    pairs.addLeaf(leafOf(nextLeaf));
    expect(seen).toEqual([]);
    pairs.settling[Symbol.dispose]();
    expect(clock.sleeps).toEqual([]);
    pairs.addBundle([old.certificate, next.certificate]);
    expect(seen).toHaveLength(1);
  });
});

describe("a workload with far too many intermediates", () => {
  it("is refused", async () => {
    const many = await Promise.all(Array.from({ length: 20 }, () => createIntermediate(old)));
    const pairs = setUpParts();
    pairs.addBundle([old.certificate]);
    expect(() => pairs.addLeaf(leafOf(datedLeaf, ...many))).toThrow(CredentialError);
  });
});

function credential({ key, certificate }: Issued, ...roots: readonly Issued[]): Credential {
  return { key, chain: [certificate], bundle: roots.map((root) => root.certificate) };
}

function partsOf(leaf: Issued, ...roots: readonly Issued[]): Parts {
  const { key, chain, bundle } = credential(leaf, ...roots);
  return { workload: { key, certificates: chain }, bundle };
}

function setUp() {
  const seen: Credential[] = [];
  const clock = manualClock();
  const complete = ({ renewalTime: _, ...rest }: Credential) => seen.push(rest);
  return { clock, seen, settling: new PairAssembler({ clock, renewal: () => clock.now(), complete }) };
}

function leafOf(leaf: Issued, ...intermediates: readonly Issued[]) {
  return { key: leaf.key, certificates: [leaf, ...intermediates].map(({ certificate }) => certificate) };
}

function setUpParts() {
  const clock = manualClock(day(2));
  const seen: Credential[] = [];
  const renewal = ({ notAfter }: Certificate) => new Date(notAfter.getTime() - dayMs);
  const settling = new PairAssembler({ clock, renewal, complete: (credential) => seen.push(credential) });
  return {
    clock,
    seen,
    settling,
    addLeaf: (workload: Parts["workload"]) => settling.add(workload === undefined ? {} : { workload }),
    addBundle: (bundle: readonly Certificate[]) => settling.add({ bundle }),
  };
}

function day(number: number): Date {
  return new Date(Date.UTC(2026, 0, number));
}

const dayMs = 86_400_000;
