import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Semaphore } from "./semaphore.ts";

describe("Semaphore", () => {
  it("admits so many at once, and then the others in their order", async () => {
    const semaphore = new Semaphore(2);
    const order: string[] = [];
    const gates = Array.from({ length: 4 }, () => Promise.withResolvers<undefined>());
    const all = gates.map((gate, i) =>
      semaphore.run(async () => {
        order.push("abcd".charAt(i));
        await gate.promise;
      }),
    );
    await setImmediate();
    expect(order).toEqual(["a", "b"]);
    gates[1]?.resolve(undefined);
    await all[1];
    for (const gate of gates) gate.resolve(undefined);
    await Promise.all(all);
    expect(order).toEqual(["a", "b", "c", "d"]);
  });

  it("gives no turn to what was called off", async () => {
    const semaphore = new Semaphore(1);
    const first = await semaphore.acquire();
    const leaving = new AbortController();
    const left = semaphore.acquire(leaving.signal);
    const next = semaphore.acquire();
    leaving.abort(new Error("enough"));
    await expect(left).rejects.toThrow("enough");
    first[Symbol.dispose]();
    (await next)[Symbol.dispose]();
    await expect(semaphore.acquire(AbortSignal.abort(new Error("late")))).rejects.toThrow("late");
    await semaphore.acquire();
  });

  it("goes on after a failure, and maps in order", async () => {
    const semaphore = new Semaphore(2);
    const work = (n: number) => (n < 0 ? Promise.reject(new Error(`no ${n}`)) : Promise.resolve(n * 2));
    await expect(semaphore.map([1, -2, 3, -4], work)).rejects.toThrow("no -2");
    expect(await semaphore.map([1, 2, 3], work)).toEqual([2, 4, 6]);
  });
});
