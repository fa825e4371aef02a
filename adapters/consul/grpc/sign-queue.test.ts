import { describe, expect, it } from "vitest";
import { MeshError } from "../../../src/mesh/adapter.ts";
import { type ManualClock, manualClock } from "../../../test/fixtures/clock.ts";
import { SignQueue } from "./sign-queue.ts";

const never = new AbortController().signal;

describe("a queue of what needs a signature", () => {
  it("sends no more than its rate, and all of it", async () => {
    const { clock, queue, sent } = setUp({ perSecond: 47 });
    for (let count = 0; count < 1000; count += 1) void add(queue);
    await clock.advance(0);
    expect(sent()).toBe(5);
    for (let second = 1; second <= 10; second += 1) {
      await clock.advance(1000);
      expect(sent()).toBeLessThanOrEqual(5 + 47 * second);
      expect(sent()).toBeGreaterThanOrEqual(47 * second);
    }
  });

  it("sends at once what comes alone", async () => {
    const { clock, queue, sent } = setUp({ perSecond: 1 });
    void add(queue);
    await clock.advance(0);
    expect(sent()).toBe(1);
  });

  it("sends first what is needed first, and of equals what came first", async () => {
    const { clock, queue, order } = setUp({ perSecond: 1 });
    const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute));
    for (const name of ["a", "b", "c", "d", "e"]) void add(queue, { name, neededBy: at(0) });
    await clock.advance(0);
    void add(queue, { name: "late", neededBy: at(9) });
    void add(queue, { name: "new 1", neededBy: at(2) });
    void add(queue, { name: "new 2", neededBy: at(2) });
    void add(queue, { name: "urgent", neededBy: at(1) });
    await clock.advance(4000);
    expect(order.slice(5)).toEqual(["urgent", "new 1", "new 2", "late"]);
  });

  it("has no more than 25 under way, however slow Consul is", async () => {
    const { clock, queue, sent } = setUp({ perSecond: 1000 });
    const { promise, resolve } = Promise.withResolvers<undefined>();
    for (let count = 0; count < 40; count += 1) void add(queue, { run: () => promise });
    await clock.advance(1000);
    expect(sent()).toBe(25);
    resolve(undefined);
    await clock.advance(1000);
    expect(sent()).toBe(40);
  });

  it("drops a request that no caller waits for any longer, and no other", async () => {
    const { clock, queue, order } = setUp({ perSecond: 1 });
    for (const name of ["a", "b", "c", "d", "e"]) void add(queue, { name });
    await clock.advance(0);
    const over = new AbortController();
    const left = add(queue, { name: "left", signal: over.signal });
    void add(queue, { name: "stays" });
    over.abort(new Error("the identity was deleted"));
    await expect(left).rejects.toThrow("the identity was deleted");
    await clock.advance(1000);
    expect(order.slice(5)).toEqual(["stays"]);
  });

  it("does not stop when the clock is set back", async () => {
    const { clock, queue, sent } = setUp({ perSecond: 10 });
    for (let count = 0; count < 20; count += 1) void add(queue);
    await clock.advance(100);
    clock.set(new Date("2025-01-01T00:00:00Z"));
    await clock.advance(2000);
    expect(sent()).toBe(20);
  });

  it("leaves no timer behind", async () => {
    const { clock, queue } = setUp({ perSecond: 1 });
    const over = new AbortController();
    for (let count = 0; count < 9; count += 1) {
      add(queue, { signal: over.signal }).catch(() => undefined);
    }
    await clock.advance(0);
    over.abort();
    queue[Symbol.dispose]();
    expect(clock.sleeps).toEqual([]);
  });
});

describe("a queue that Consul asks for fewer requests", () => {
  it("pauses, tries what was refused again, and is slower for a while", async () => {
    const { clock, queue, sent } = setUp({ perSecond: 40 });
    let refusals = 3;
    const run = () => (refusals-- > 0 ? Promise.reject(tooMany()) : Promise.resolve("signed"));
    const results = Array.from({ length: 5 }, () => add(queue, { run }));
    await clock.advance(0);
    expect(sent()).toBe(5);
    await clock.advance(1000);
    expect(await Promise.all(results)).toEqual(Array(5).fill("signed"));
    expect(sent()).toBe(8);

    for (let count = 0; count < 800; count += 1) void add(queue);
    const before = sent();
    await clock.advance(1000);
    expect(sent() - before).toBeLessThan(40);
    await clock.advance(9000);
    const full = sent();
    await clock.advance(1000);
    expect(sent() - full).toBe(40);
  });

  it("reports to a caller that it is refused again and again", async () => {
    const { clock, queue, sent } = setUp({ perSecond: 40 });
    const refused = add(queue, { run: () => Promise.reject(tooMany()) });
    refused.catch(() => undefined);
    await clock.advance(60_000);
    await expect(refused).rejects.toMatchObject({ code: "ATTACHE_MESH_RATE_LIMITED" });
    expect(sent()).toBe(4);
  });

  it("hands other errors to the caller", async () => {
    const { clock, queue, sent } = setUp({ perSecond: 40 });
    const failed = add(queue, { run: () => Promise.reject(new Error("no")) });
    failed.catch(() => undefined);
    await clock.advance(0);
    await expect(failed).rejects.toThrow("no");
    expect(sent()).toBe(1);
  });
});

interface Added {
  readonly name?: string;
  readonly neededBy?: Date;
  readonly run?: () => Promise<unknown>;
  readonly signal?: AbortSignal;
}

const orders = new WeakMap<SignQueue, string[]>();

function setUp({ perSecond }: { readonly perSecond: number }) {
  const clock: ManualClock = manualClock();
  const queue = new SignQueue({ perSecond, clock });
  const order: string[] = [];
  orders.set(queue, order);
  return { clock, queue, order, sent: () => order.length };
}

function add(
  queue: SignQueue,
  { name = "any", neededBy = new Date(0), run = () => Promise.resolve(), signal = never }: Added = {},
): Promise<unknown> {
  return queue.add({
    neededBy,
    signal,
    run: () => {
      orders.get(queue)?.push(name);
      return run();
    },
  });
}

function tooMany(): MeshError {
  return new MeshError("ATTACHE_MESH_RATE_LIMITED", "Rate limit reached, try again later");
}
