import { expect, it } from "vitest";
import { FairQueue } from "./fair-queue.ts";

function queueOf(...items: string[]): FairQueue<string> {
  const queue = new FairQueue<string>((item) => item.charAt(0));
  for (const item of items) queue.add(item);
  return queue;
}

function all(queue: FairQueue<string>): string[] {
  return Array.from({ length: queue.size }, () => queue.take() ?? "");
}

it("gives turns to groups, and keeps the order within each", () => {
  expect(all(queueOf("a1", "a2", "a3", "b1", "b2", "c1"))).toEqual(["a1", "b1", "c1", "a2", "b2", "a3"]);
});

it("lets a group that comes again wait for those whose turn is longer ago, and for no more", () => {
  const queue = queueOf("a1", "a2", "a3", "b1");
  expect([queue.take(), queue.take()]).toEqual(["a1", "b1"]);
  queue.add("b2");
  queue.add("c1");
  expect(all(queue)).toEqual(["c1", "a2", "b2", "a3"]);
});

it("holds each item once, and passes over those that are not ready", () => {
  const queue = queueOf("a1", "a1", "a2", "b1");
  expect(queue.size).toBe(3);
  expect(queue.delete("b1")).toBe(true);
  expect(queue.delete("b1")).toBe(false);
  expect(queue.take((item) => item !== "a1")).toBe("a2");
  expect(queue.take((item) => item !== "a1")).toBeUndefined();
  expect([queue.has("a1"), queue.take(), queue.size]).toEqual([true, "a1", 0]);
});
