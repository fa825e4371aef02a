import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { bytesInUse } from "../../test/fixtures/heap.ts";
import { unlessAborted } from "./abort.ts";

const reason = new Error("over");

describe("work whose signal does not abort", () => {
  it("gives its result or its error, and leaves no listener", async () => {
    const { signal } = new AbortController();
    expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1);
    await expect(unlessAborted(Promise.reject(reason), signal)).rejects.toBe(reason);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});

describe("work whose signal aborts", () => {
  it("ends at once with the signal's reason, and drops what it fails with later", async () => {
    const controller = new AbortController();
    const work = Promise.withResolvers<never>();
    const result = unlessAborted(work.promise, controller.signal);
    controller.abort(reason);
    await expect(result).rejects.toBe(reason);
    work.reject(new Error("too late"));
    await expect(unlessAborted(work.promise, controller.signal)).rejects.toBe(reason);
  });

  it("does not give a result that was there before, if the signal aborted before", async () => {
    await expect(unlessAborted(Promise.resolve(1), AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  it("leaves nothing of the wait at work that goes on", { tags: ["thorough"] }, async () => {
    const work = Promise.withResolvers<never>();
    async function giveUp(times: number): Promise<void> {
      for (let count = 0; count < times; count += 1) {
        await unlessAborted(work.promise, AbortSignal.abort(reason)).catch(() => undefined);
      }
    }
    await giveUp(500);
    const before = await bytesInUse();
    await giveUp(5_000);
    expect(((await bytesInUse()) - before) / 5_000).toBeLessThan(50);
  });
});
