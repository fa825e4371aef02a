import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { newestOf } from "./newest-of.ts";

const messages = Array.from({ length: 9 }, (_, number) => Buffer.from([number]));

describe("the newest of a stream", () => {
  it("is all that a slow reader sees of what comes meanwhile", async () => {
    const stream = new Readable({ objectMode: true, read: () => undefined });
    const newest = newestOf(stream);
    const seen: unknown[] = [];
    for (const batch of [messages.slice(0, 1), messages.slice(1, 5), messages.slice(5)]) {
      for (const message of batch) stream.push(message);
      seen.push((await newest.next()).value);
    }
    expect(seen).toEqual([messages[0], messages[4], messages[8]]);
  });

  it("ends as the stream ends", async () => {
    const stream = new Readable({ objectMode: true, read: () => undefined });
    const newest = newestOf(stream);
    stream.push(messages[0]);
    await newest.next();
    const end = newest.next();
    stream.destroy(new Error("the call ended"));
    await expect(end).rejects.toThrow("the call ended");
    expect(await Array.fromAsync(newestOf(Readable.from([])))).toEqual([]);
  });
});
