import { expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { bytesInUse } from "../../test/fixtures/heap.ts";
import type { Certificate } from "../credentials/certificate.ts";
import { LatestValue } from "../runtime/latest-value.ts";
import { keepFresh } from "./issuance.ts";

const renewals = 100_000;
const hourMs = 3_600_000;

it(
  `${renewals} renewals between two changes of the roots leave nothing behind`,
  { tags: ["thorough"] },
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
    const before = await bytesInUse();
    await renew(renewals);
    const grown = (await bytesInUse()) - before;
    expect(signatures).toBe(renewals + 2_000);
    expect(grown / renewals).toBeLessThan(30);
  },
);
