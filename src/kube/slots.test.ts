import { describe, expect, it } from "vitest";
import { Slots } from "./slots.ts";

describe("slots", () => {
  it("go to so many at once, and then to the others in their order", async () => {
    const slots = new Slots(2);
    const order: string[] = [];
    const work = async (name: string, until: Promise<undefined>) => {
      using _slot = await slots.take();
      order.push(name);
      await until;
    };
    const gates = Array.from({ length: 4 }, () => Promise.withResolvers<undefined>());
    const all = gates.map((gate, i) => work("abcd".charAt(i), gate.promise));
    await Promise.resolve();
    expect(order).toEqual(["a", "b"]);
    gates[1]?.resolve(undefined);
    await all[1];
    for (const gate of gates) gate.resolve(undefined);
    await Promise.all(all);
    expect(order).toEqual(["a", "b", "c", "d"]);
  });

  it("are not taken by who has left", async () => {
    const slots = new Slots(1);
    const first = await slots.take();
    const leaving = new AbortController();
    const left = slots.take(leaving.signal);
    const next = slots.take();
    leaving.abort(new Error("enough"));
    await expect(left).rejects.toThrow("enough");
    first[Symbol.dispose]();
    (await next)[Symbol.dispose]();
    await expect(slots.take(AbortSignal.abort(new Error("late")))).rejects.toThrow("late");
    await slots.take();
  });
});
