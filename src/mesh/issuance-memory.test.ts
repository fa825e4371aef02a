import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { cases } from "../../test/fixtures/cases.ts";
import { manualClock } from "../../test/fixtures/clock.ts";
import type { Certificate } from "../credentials/certificate.ts";
import { LatestValue } from "../runtime/latest-value.ts";
import { keepFresh } from "./issuance.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const renewals = cases(20_000, 100_000);
const hourMs = 3_600_000;

it(
  `${renewals} renewals between two changes of the roots leave nothing behind`,
  { tags: ["search"] },
  async () => {
    const clock = manualClock();
    const roots = new LatestValue<readonly Certificate[]>();
    roots.publish([]);
    const { signal } = new AbortController();
    let signatures = 0;
    const held = keepFresh(
      { roots, clock, signal },
      {
        adopted: () => undefined,
        signed: () => {
          signatures += 1;
          return Promise.resolve({ renewalTime: new Date(clock.now().getTime() + hourMs) });
        },
        underRoots: (unchanged) => unchanged,
      },
    );
    async function renew(times: number): Promise<void> {
      for (let count = 0; count < times; count += 1) {
        const next = held.next();
        await clock.advance(hourMs);
        await next;
      }
    }

    await renew(2_000);
    const before = await heapBytes();
    await renew(renewals);
    const grown = (await heapBytes()) - before;
    expect(signatures).toBe(renewals + 2_000);
    expect(grown / renewals).toBeLessThan(30);
  },
);

/** Of what is left when finalizers have run, too. */
async function heapBytes(): Promise<number> {
  for (let count = 0; count < 5; count += 1) {
    collect();
    await setImmediate();
  }
  return process.memoryUsage().heapUsed;
}
