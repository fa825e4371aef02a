import { beforeAll, describe, expect, it } from "vitest";
import { createPool, type Pool } from "../../model/credentials.ts";
import { type Bounds, check } from "../../model/world.ts";

/** As the tests in test/model, with more that may happen in one run: too long for there. */
let pool: Pool;
const timeout = 300_000;

beforeAll(async () => {
  pool = await createPool(4);
});

describe("no Mapping is exposed, no pair torn, no upstream rejected", () => {
  it.each<[string, Parameters<typeof check>[0]["from"], Bounds]>([
    ["while it is published first, and a fault", "nothing", { events: 1, faults: 1 }],
    ["twice, and a fault", "what is published", { events: 2, faults: 1 }],
  ])("whatever happens %s", { timeout }, async (_, from, bounds) => {
    expect((await check({ pool, from }, bounds)).runs).toBeGreaterThan(400);
  });
});

const roots: Bounds["only"] = ["the root rotates", "the mesh drops old roots"];

describe("what is published is served in the end, and no upstream of the published root is rejected meanwhile", () => {
  it.each<[string, Bounds]>([
    [
      "a Mapping changes at any moment, and also a nudge is lost",
      { first: "the leaf rotates", events: 2, faults: 0, pauses: 1, only: ["a Mapping changes"] },
    ],
    [
      "a Mapping changes at any moment, the root rotates, and a fault",
      { first: "the root rotates", events: 1, faults: 1, only: ["a Mapping changes"] },
    ],
    ["roots come and go at any moment", { events: 2, faults: 0, pauses: 1, only: roots }],
  ])("when %s", { timeout }, async (_, bounds) => {
    const options = { pool, from: "what is published", hasIngress: true } as const;
    expect((await check(options, bounds)).runs).toBeGreaterThan(50);
  });
});

/** All happens at any moment before; from then on it is only this that goes on. */
const environments = {
  "a Mapping changes in each snapshot": { changesMapping: () => true, revertsAnnotations: false },
  "one changes in two of three, and another client removes annotations": {
    changesMapping: (snapshot: number) => snapshot % 3 !== 0,
    revertsAnnotations: true,
  },
};

describe("what is published is served in the end, and no upstream of the published root is rejected, also while", () => {
  it.each(Object.entries(environments))("%s", { timeout }, async (_, environment) => {
    const touching = { pool, from: "what is published", hasIngress: true, touchMappings: true } as const;
    const bounds: Bounds = { first: "the root rotates", events: 1, faults: 1, only: ["the leaf rotates"] };
    expect((await check({ ...touching, environment }, bounds)).runs).toBeGreaterThan(50);
  });
});
