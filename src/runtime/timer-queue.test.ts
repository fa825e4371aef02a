import { describe, expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { AlarmClock, type Sleeper, sleepUntil } from "./timer-queue.ts";

describe("AlarmClock", () => {
  it("rings each at its time, in whatever order they were set, with one timer", async () => {
    const { clock, rung, set } = start();
    set("late", 30);
    set("early", 10);
    set("early, too", 10);
    set("middle", 20);
    expect(clock.sleeps).toEqual([10]);
    await clock.advance(10);
    expect(rung).toEqual(["early", "early, too"]);
    await clock.advance(10);
    expect(rung.slice(2)).toEqual(["middle"]);
    await clock.advance(10);
    expect(rung.slice(3)).toEqual(["late"]);
    expect(clock.sleeps).toEqual([]);
  });

  it("rings at what was set last, and once", async () => {
    const { clock, rung, set } = start();
    set("put off", 10);
    set("put off", 20);
    set("brought forward", 20);
    set("brought forward", 15);
    await clock.advance(19);
    expect(rung).toEqual(["brought forward"]);
    await clock.advance(100);
    expect(rung).toEqual(["brought forward", "put off"]);
  });

  it("leaves no timer when nobody is to be rung any more", () => {
    const { clock, set, alarmClock, sleeper } = start();
    set("one", 10);
    set("other", 20);
    alarmClock.clear(sleeper("one"));
    alarmClock.clear(sleeper("other"));
    expect(clock.sleeps).toEqual([]);
  });

  it("rings after a time, whatever the wall clock shows, and not at what was set before", async () => {
    const { clock, rung, sleeper, alarmClock } = start();
    alarmClock.set(sleeper("one"), { afterMs: 10 });
    alarmClock.set(sleeper("one"), { afterMs: 20 });
    alarmClock.set(sleeper("none"), { until: new Date("2026-01-02T00:00:00Z"), afterMs: 10 });
    alarmClock.clear(sleeper("none"));
    clock.set(new Date("2025-01-01T00:00:00Z"));
    await clock.advance(19);
    expect(rung).toEqual([]);
    await clock.advance(1);
    expect(rung).toEqual(["one"]);
    expect(clock.sleeps).toEqual([]);
  });

  it("rings what a step of the wall clock has made due, within a minute", async () => {
    const { clock, rung, set } = start();
    set("tomorrow", 24 * 3600_000);
    clock.set(new Date("2026-01-03T00:00:00Z"));
    await clock.advance(60_000);
    expect(rung).toEqual(["tomorrow"]);
  });
});

describe("sleepUntil", () => {
  it("takes one timer, however many sleep by the same clock", async () => {
    const clock = manualClock("2026-01-01T00:00:00Z");
    const over = new AbortController();
    const tomorrow = new Date("2026-01-02T00:00:00Z");
    const sleepers = [sleepUntil(tomorrow, clock, over.signal)];
    await clock.advance(400);
    sleepers.push(sleepUntil(tomorrow, clock, over.signal));
    expect(clock.sleeps).toHaveLength(1);
    over.abort(new Error("enough"));
    expect(clock.sleeps).toEqual([]);
    await expect(Promise.any(sleepers)).rejects.toMatchObject({
      errors: [{ message: "enough" }, { message: "enough" }],
    });
  });

  it("wakes who waits for a date and leaves the others asleep, also after one has given up", async () => {
    const clock = manualClock("2026-01-01T00:00:00Z");
    const over = new AbortController();
    const { signal } = new AbortController();
    const woken: string[] = [];
    const sleeper = (name: string, second: number, until = signal) => {
      const date = new Date(Date.UTC(2026, 0, 1, 0, 0, second));
      sleepUntil(date, clock, until).then(
        () => woken.push(name),
        () => woken.push(`not ${name}`),
      );
    };
    sleeper("third", 3);
    sleeper("first", 1, over.signal);
    sleeper("second", 2);
    over.abort();
    await clock.advance(2_000);
    expect(woken).toEqual(["not first", "second"]);
    await clock.advance(1_000);
    expect(woken).toEqual(["not first", "second", "third"]);
  });
});

function start() {
  const clock = manualClock("2026-01-01T00:00:00Z");
  const alarmClock = new AlarmClock(clock);
  const rung: string[] = [];
  const sleepers = new Map<string, Sleeper>();
  const sleeper = (name: string) => {
    const known = sleepers.get(name) ?? { ring: () => void rung.push(name) };
    sleepers.set(name, known);
    return known;
  };
  return {
    clock,
    alarmClock,
    rung,
    sleeper,
    set: (name: string, inMs: number) =>
      alarmClock.set(sleeper(name), { until: new Date(clock.now().getTime() + inMs) }),
  };
}
