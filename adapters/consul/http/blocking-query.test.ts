import { describe, expect, it } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { blockingQuery, nextIndex } from "./blocking-query.ts";
import type { RequestOptions } from "./client.ts";
import { Pace } from "./pace.ts";

describe("the index of a blocking query", () => {
  it.each([
    ["is what the last answer said", 7n, "9", 9n],
    ["stays when nothing has changed", 9n, "9", 9n],
    ["begins again when it goes down", 9n, "8", 0n],
    ["takes the largest that Consul can read", 9n, "18446744073709551615", 18446744073709551615n],
    ["blocks on anything when the header is absent", 9n, undefined, 1n],
    ["blocks on anything when it is 0", 9n, "0", 1n],
    ["blocks on anything when it is negative", 9n, "-1", 1n],
    ["blocks on anything when it is no number", 9n, "NaN", 1n],
    ["blocks on anything when there are two", 9n, "10, 11", 1n],
    ["blocks on anything when it is too large for Consul", 9n, "18446744073709551616", 1n],
    ["blocks on anything when it never ends", 9n, "9".repeat(5000), 1n],
  ])("%s", (_outcome, asked, header, next) => {
    expect(nextIndex(asked, header)).toBe(next);
  });
});

describe("a blocking query", () => {
  it("blocks on each index but the first, for the answer's time and the sixteenth that Consul adds", async () => {
    const { asked } = await ask(["5", "6", "2", "3"]);
    expect(asked).toEqual([
      { query: {}, timeoutMs: 30_000 },
      { query: { index: "5", wait: "60000ms" }, timeoutMs: 93_750 },
      { query: { index: "6", wait: "60000ms" }, timeoutMs: 93_750 },
      // 2 is lower than 6: without an index, at once.
      { query: {}, timeoutMs: 30_000 },
    ]);
  });

  it.each([
    ["an index that always moves", (count: number) => String(count)],
    ["an index that goes up and down", (count: number) => String(100 + (count % 2))],
    ["no index", () => undefined],
  ])("does not spin on a server that answers at once with %s", async (_quirk, header) => {
    const clock = manualClock();
    const over = new AbortController();
    let asked = 0;
    const client = {
      get: () => {
        asked += 1;
        return Promise.resolve(replyWith(header(asked)));
      },
    };
    const query = blockingQuery({
      client,
      path: "/any",
      waitMs: 60_000,
      pace: new Pace(clock),
      clock,
      signal: over.signal,
    });
    const reading = drain(query);
    await clock.sleeping(1);
    expect(asked).toBe(6);
    await clock.advance(3_600_000);
    // One in 15 to 30 s, after a few on the way there.
    expect(asked).toBeGreaterThan(100);
    expect(asked).toBeLessThan(250);
    over.abort(new Error("enough"));
    await expect(reading).rejects.toThrow("enough");
  });
});

describe("the pace of queries", () => {
  it("is the server's own as long as it holds them back", async () => {
    const clock = manualClock();
    const pace = new Pace(clock);
    for (let count = 0; count < 20; count += 1) {
      const askedAtMs = clock.elapsedMs();
      await clock.advance(count % 5 === 0 ? 1000 : 0);
      await pace.keep(askedAtMs, new AbortController().signal);
    }
    expect(clock.sleeps).toEqual([]);
  });
});

/** Asks as often as there are headers to answer with. */
async function ask(headers: readonly string[]) {
  const clock = manualClock();
  const asked: Pick<RequestOptions, "query" | "timeoutMs">[] = [];
  const client = {
    get: (_path: string, { query, timeoutMs }: RequestOptions) => {
      asked.push({ query, timeoutMs } as Pick<RequestOptions, "query" | "timeoutMs">);
      return Promise.resolve(replyWith(headers[asked.length - 1]));
    },
  };
  const { signal } = new AbortController();
  const query = blockingQuery({
    client,
    path: "/any",
    waitMs: 60_000,
    pace: new Pace(clock),
    clock,
    signal,
  });
  for (let left = headers.length; left > 0; left -= 1) await query.next();
  return { asked };
}

function replyWith(index: string | undefined) {
  return {
    status: 200,
    headers: index === undefined ? {} : { "x-consul-index": index },
    text: "{}",
    problem: undefined,
  };
}

async function drain(query: AsyncGenerator<string, never>): Promise<void> {
  for (;;) await query.next();
}
