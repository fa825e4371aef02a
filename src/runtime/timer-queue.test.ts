import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { sleepUntil, TimerQueue } from "./timer-queue.ts";

describe("TimerQueue", () => {
  it("calls for each at its time, in whatever order they were scheduled, with one timer", async () => {
    const { clock, fired, set } = start();
    set("late", 30);
    set("early", 10);
    set("early, too", 10);
    set("middle", 20);
    expect(clock.sleeps).toEqual([10]);
    await clock.advance(10);
    expect(fired).toEqual(["early", "early, too"]);
    await clock.advance(10);
    expect(fired.slice(2)).toEqual(["middle"]);
    await clock.advance(10);
    expect(fired.slice(3)).toEqual(["late"]);
    expect(clock.sleeps).toEqual([]);
  });

  it("calls at what was scheduled last, and once", async () => {
    const { clock, fired, set } = start();
    set("put off", 10);
    set("put off", 20);
    set("brought forward", 20);
    set("brought forward", 15);
    await clock.advance(19);
    expect(fired).toEqual(["brought forward"]);
    await clock.advance(100);
    expect(fired).toEqual(["brought forward", "put off"]);
  });

  it("is hastened by what is due earlier, and not put off by what is due later", async () => {
    const { clock, fired, timers } = start();
    timers.hasten("one", 20);
    timers.hasten("one", 10);
    timers.hasten("one", 30);
    await clock.advance(10);
    expect(fired).toEqual(["one"]);
    await clock.advance(30);
    expect(fired).toEqual(["one"]);
  });

  it("leaves no timer when nothing is scheduled any more", () => {
    const { clock, set, timers } = start();
    set("one", 10);
    set("other", 20);
    timers.clear("one");
    timers.clear("other");
    timers.clear("unknown");
    expect(clock.sleeps).toEqual([]);
    set("one", 10);
    timers[Symbol.dispose]();
    expect(clock.sleeps).toEqual([]);
  });

  it("ends a wait after its time, whatever the wall clock shows, and forgets what was scheduled before", async () => {
    const { clock, fired, timers } = start();
    timers.schedule("one", { afterMs: 10 });
    timers.schedule("one", { afterMs: 20 });
    timers.schedule("none", { at: new Date("2026-01-02T00:00:00Z"), afterMs: 10 });
    timers.clear("none");
    timers.schedule("never", {});
    clock.set(new Date("2025-01-01T00:00:00Z"));
    await clock.advance(19);
    expect(fired).toEqual([]);
    await clock.advance(1);
    expect(fired).toEqual(["one"]);
    expect(clock.sleeps).toEqual([]);
  });

  it("takes the earlier of a wait and a date", async () => {
    const { clock, fired, timers } = start();
    timers.schedule("wait", { at: new Date("2026-01-01T00:00:20Z"), afterMs: 10_000 });
    timers.schedule("date", { at: new Date("2026-01-01T00:00:05Z"), afterMs: 10_000 });
    await clock.advance(5_000);
    expect(fired).toEqual(["date"]);
    await clock.advance(60_000);
    expect(fired).toEqual(["date", "wait"]);
  });

  it("looks at all far dates at the same moment, once a minute", async () => {
    const { clock, set } = start();
    for (const name of ["a", "b", "c"]) {
      set(name, 24 * 3600_000);
      await clock.advance(7_000);
    }
    let wakes = 0;
    for (let minute = 0; minute < 5; minute += 1) {
      const [leftMs = 0, ...others] = clock.sleeps;
      expect(others).toEqual([]);
      await clock.advance(leftMs);
      wakes += 1;
    }
    expect([wakes, clock.elapsedMs()]).toEqual([5, 300_000]);
  });

  it("calls for each key at its time, in the order of the times, among any changes", async () => {
    const wait = fc.record({ key: fc.nat(9), ms: fc.option(fc.nat(50)), pass: fc.nat(20) });
    await fc.assert(
      fc.asyncProperty(fc.array(wait, { maxLength: 40 }), async (steps) => {
        const clock = manualClock();
        const seen: string[] = [];
        const expected = new Map<number, number>();
        const called: [number, number][] = [];
        const timers = new TimerQueue<number>(clock, (key) => {
          seen.push(`${key}@${clock.elapsedMs()}`);
          called.push([key, clock.elapsedMs()]);
        });
        const due: string[] = [];
        const pass = async (ms: number) => {
          const untilMs = clock.elapsedMs() + ms;
          for (const [key, atMs] of [...expected].toSorted(([, one], [, other]) => one - other)) {
            if (atMs > untilMs) continue;
            due.push(`${key}@${atMs}`);
            expected.delete(key);
          }
          await clock.advance(ms);
        };
        for (const { key, ms, pass: passMs } of steps) {
          if (ms === null) timers.clear(key);
          else timers.schedule(key, { afterMs: ms + 1 });
          if (ms === null) expected.delete(key);
          else expected.set(key, clock.elapsedMs() + ms + 1);
          await pass(passMs);
        }
        await pass(100);
        expect(seen.toSorted()).toEqual(due.toSorted());
        expect(called.map(([, atMs]) => atMs)).toEqual(
          called.map(([, atMs]) => atMs).toSorted((a, b) => a - b),
        );
      }),
      { numRuns: 50 },
    );
  });

  it("calls for what a step of the wall clock has made due, within a minute", async () => {
    const { clock, fired, set } = start();
    set("tomorrow", 24 * 3600_000);
    clock.set(new Date("2026-01-03T00:00:00Z"));
    await clock.advance(60_000);
    expect(fired).toEqual(["tomorrow"]);
  });
});

describe("sleepUntil", () => {
  it("takes one timer, however many sleep by the same clock", async () => {
    const clock = manualClock("2026-01-01T00:00:00Z");
    const over = new AbortController();
    const tomorrow = new Date("2026-01-02T00:00:00Z");
    const waits = [sleepUntil(tomorrow, clock, over.signal)];
    await clock.advance(400);
    waits.push(sleepUntil(tomorrow, clock, over.signal));
    expect(clock.sleeps).toHaveLength(1);
    over.abort(new Error("enough"));
    expect(clock.sleeps).toEqual([]);
    await expect(Promise.any(waits)).rejects.toMatchObject({
      errors: [{ message: "enough" }, { message: "enough" }],
    });
  });

  it("wakes who waits for a date and leaves the others asleep, also after one has given up", async () => {
    const clock = manualClock("2026-01-01T00:00:00Z");
    const over = new AbortController();
    const { signal } = new AbortController();
    const woken: string[] = [];
    const wait = (name: string, second: number, until = signal) => {
      const date = new Date(Date.UTC(2026, 0, 1, 0, 0, second));
      sleepUntil(date, clock, until).then(
        () => woken.push(name),
        () => woken.push(`not ${name}`),
      );
    };
    wait("third", 3);
    wait("first", 1, over.signal);
    wait("second", 2);
    over.abort();
    await clock.advance(2_000);
    expect(woken).toEqual(["not first", "second"]);
    await clock.advance(1_000);
    expect(woken).toEqual(["not first", "second", "third"]);
  });
});

function start() {
  const clock = manualClock("2026-01-01T00:00:00Z");
  const fired: string[] = [];
  const timers = new TimerQueue<string>(clock, (key) => fired.push(key));
  return {
    clock,
    timers,
    fired,
    set: (key: string, inMs: number) => timers.schedule(key, { at: new Date(clock.now().getTime() + inMs) }),
  };
}
