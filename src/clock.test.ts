import { expect, it } from "vitest";
import { manualClock } from "../test/fixtures/clock.ts";
import { sleepUntil } from "./clock.ts";

it("wakes those together who wait for long and began in the same second", async () => {
  const clock = manualClock("2026-01-01T00:00:00Z");
  const over = new AbortController();
  const tomorrow = new Date("2026-01-02T00:00:00Z");
  const sleepers = [sleepUntil(tomorrow, clock, over.signal)];
  await clock.advance(400);
  sleepers.push(sleepUntil(tomorrow, clock, over.signal));
  await clock.advance(500);
  const [first, second, ...others] = clock.sleeps;
  expect(others).toEqual([]);
  expect(second).toBe(first);
  over.abort();
  await Promise.allSettled(sleepers);
});
