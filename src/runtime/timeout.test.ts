import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { idleTimeout, withTimeout } from "./timeout.ts";

const late = () => new Error("late");
const reasonOf = ({ signal }: { signal: AbortSignal }) => (signal.reason as Error | undefined)?.message;

describe("withTimeout", () => {
  it("aborts when the time is up, and not once it is cleared or disposed of", async () => {
    const clock = manualClock();
    const [kept, cleared, disposed] = [1, 2, 3].map(() => withTimeout(10, late, clock));
    cleared?.clear();
    disposed?.[Symbol.dispose]();
    expect(clock.sleeps).toEqual([10]);
    await clock.advance(10);
    expect([kept, cleared, disposed].map((one) => one && reasonOf(one))).toEqual([
      "late",
      undefined,
      undefined,
    ]);
  });

  it("aborts with the outer signal, also when cleared, and leaves no listener on it", () => {
    const clock = manualClock();
    const outer = new AbortController();
    const timeout = withTimeout(10, late, clock, outer.signal);
    withTimeout(10, late, clock, outer.signal)[Symbol.dispose]();
    expect(getEventListeners(outer.signal, "abort")).toHaveLength(1);
    timeout.clear();
    outer.abort(new Error("enough"));
    expect(reasonOf(timeout)).toBe("enough");
    expect(reasonOf(withTimeout(10, late, clock, outer.signal))).toBe("enough");
  });
});

describe("idleTimeout", () => {
  it("aborts after a period without a sign of life, at most two after the last", async () => {
    const clock = manualClock();
    using idle = idleTimeout(10, late, clock);
    await clock.advance(9);
    idle.reset();
    await clock.advance(10);
    idle.reset();
    await clock.advance(10);
    expect(reasonOf(idle)).toBeUndefined();
    await clock.advance(10);
    expect(reasonOf(idle)).toBe("late");
  });

  it("gives a process that was stopped a whole period for what waits to be read", async () => {
    const clock = manualClock();
    using idle = idleTimeout(10, late, clock);
    idle.reset();
    clock.stall(10_000);
    await clock.advance(0);
    expect(reasonOf(idle)).toBeUndefined();
    await clock.advance(10);
    expect(reasonOf(idle)).toBe("late");
  });
});
