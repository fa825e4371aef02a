import { describe, expect, it } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { createLeaf, createRoot, type Issued } from "../../../test/fixtures/pki.ts";
import type { Credential } from "../../credentials/credential.ts";
import { settleMs, PairAssembler } from "./pair-assembler.ts";

const old = await createRoot();
const next = await createRoot();
const oldLeaf = await createLeaf(old);
const nextLeaf = await createLeaf(next);

describe("a chain that leads to the bundle", () => {
  it("is handed on at once, and once only", () => {
    const { settling, seen } = setUp();
    settling.offer(credential(oldLeaf, old, next));
    settling.offer(credential(oldLeaf, next, old));
    expect(seen).toEqual([credential(oldLeaf, old, next)]);
    settling.offer(credential(nextLeaf, old, next));
    expect(seen).toHaveLength(2);
  });
});

describe("a chain that does not lead to the bundle", () => {
  it("waits for one that does", async () => {
    const { settling, seen, clock } = setUp();
    settling.offer(credential(nextLeaf, old));
    await clock.advance(settleMs - 1);
    expect(seen).toEqual([]);
    settling.offer(credential(nextLeaf, old, next));
    expect(seen).toEqual([credential(nextLeaf, old, next)]);
    expect(clock.sleeps).toEqual([]);
  });

  it("is handed on for the policies to judge, when none comes, or more of the same", async () => {
    const { settling, seen, clock } = setUp();
    settling.offer(credential(nextLeaf, old));
    await clock.advance(settleMs / 2);
    settling.offer(credential(oldLeaf, next));
    await clock.advance(settleMs / 2);
    expect(seen).toEqual([credential(oldLeaf, next)]);
  });

  it("leaves no timer behind when nobody waits any more", () => {
    const { settling, clock } = setUp();
    settling.offer(credential(nextLeaf, old));
    settling[Symbol.dispose]();
    expect(clock.sleeps).toEqual([]);
  });
});

function credential({ key, certificate }: Issued, ...roots: readonly Issued[]): Credential {
  return { key, chain: [certificate], bundle: roots.map((root) => root.certificate) };
}

function setUp() {
  const seen: Credential[] = [];
  const clock = manualClock();
  return { clock, seen, settling: new PairAssembler(clock, (one) => seen.push(one)) };
}
