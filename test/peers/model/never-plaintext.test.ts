import { expect, it } from "vitest";
import { createPool } from "../../model/credentials.ts";
import { type Bounds, check } from "../../model/world.ts";

/** As test/model/never-plaintext.test.ts, with more that may happen in one run: too long for there. */
it.each<[string, Parameters<typeof check>[0]["from"], Bounds]>([
  ["while it is published first, and a fault", "nothing", { events: 1, faults: 1 }],
  ["twice, and a fault", "what is published", { events: 2, faults: 1 }],
])(
  "no Mapping is exposed, no pair torn, no upstream rejected, whatever happens %s",
  async (_, from, bounds) => {
    const { runs } = await check({ pool: await createPool(4), from }, bounds);
    expect(runs).toBeGreaterThan(400);
  },
);
