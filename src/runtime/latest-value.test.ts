import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { LatestValue } from "./latest-value.ts";

function read<T>(newest: LatestValue<T>, signal = new AbortController().signal): AsyncIterator<T> {
  return newest.subscribe(signal)[Symbol.asyncIterator]();
}

const yielded = (value: unknown) => ({ done: false, value });
const ended = { done: true, value: undefined };

describe("the newest value", () => {
  it("is yielded to a consumer that comes later", async () => {
    const newest = new LatestValue<string>();
    newest.publish("a");
    expect(await read(newest).next()).toEqual(yielded("a"));
  });

  it("is yielded to a consumer that waits", async () => {
    const newest = new LatestValue<string>();
    const waiting = read(newest).next();
    newest.publish("a");
    expect(await waiting).toEqual(yielded("a"));
  });

  it("is all that a slow consumer sees", async () => {
    const newest = new LatestValue<string>();
    const consumer = read(newest);
    for (const value of ["a", "b", "c"]) newest.publish(value);
    expect(await consumer.next()).toEqual(yielded("c"));
    const waiting = consumer.next();
    newest.publish("d");
    expect(await waiting).toEqual(yielded("d"));
  });

  it("reaches each of several consumers once", async () => {
    const newest = new LatestValue<string>();
    const [one, other] = [read(newest), read(newest)];
    newest.publish("a");
    expect(await one.next()).toEqual(yielded("a"));
    newest.publish("b");
    expect([await one.next(), await other.next()]).toEqual([yielded("b"), yielded("b")]);
  });

  it("may be undefined", async () => {
    const newest = new LatestValue<undefined>();
    newest.publish(undefined);
    expect(await read(newest).next()).toEqual(yielded(undefined));
  });

  it("goes to one of two reads that wait at the same time, and the next one to the other", async () => {
    const newest = new LatestValue<string>();
    const consumer = read(newest);
    const [first, second] = [consumer.next(), consumer.next()];
    newest.publish("a");
    expect(await first).toEqual(yielded("a"));
    newest.publish("b");
    expect(await second).toEqual(yielded("b"));
  });
});

describe("a subscription", () => {
  it("ends with the signal's reason while it waits, while a value is unread, and from the start", async () => {
    const newest = new LatestValue<string>();
    const reason = new Error("over");
    const controller = new AbortController();
    const waiting = read(newest, controller.signal).next();
    const slow = read(newest, controller.signal);
    controller.abort(reason);
    newest.publish("a");
    await expect(waiting).rejects.toBe(reason);
    await expect(slow.next()).rejects.toBe(reason);
    await expect(read(newest, controller.signal).next()).rejects.toBe(reason);
    expect(newest.isWatched).toBe(false);
  });

  it("ends with a failure, but yields the unread value before it", async () => {
    const newest = new LatestValue<string>();
    const [waiting, slow] = [read(newest).next(), read(newest)];
    newest.fail(new Error("refused"));
    await expect(waiting).rejects.toThrow("refused");
    newest.publish("a");
    expect(await slow.next()).toEqual(yielded("a"));
    await expect(slow.next()).rejects.toThrow("refused");
    expect(await slow.next()).toEqual(ended);
  });

  it("does not hear of failures that came before it", async () => {
    const newest = new LatestValue<string>();
    newest.publish("a");
    newest.fail(new Error("refused"));
    expect(await read(newest).next()).toEqual(yielded("a"));
  });

  it("ends for a read that waits when its consumer returns, and leaves nothing behind", async () => {
    const newest = new LatestValue<string>();
    const { signal } = new AbortController();
    const consumer = read(newest, signal);
    const waiting = consumer.next();
    expect(newest.isWatched).toBe(true);
    await consumer.return?.();
    expect(await waiting).toEqual(ended);
    expect(newest.isWatched).toBe(false);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("is left by a loop that breaks", async () => {
    const newest = new LatestValue<string>();
    newest.publish("a");
    for await (const value of newest.subscribe(new AbortController().signal)) {
      expect(value).toBe("a");
      break;
    }
    expect(newest.isWatched).toBe(false);
  });
});
