import { describe, expect, it, vi } from "vitest";
import { durationOf, requestTimeoutOf, timeout } from "./signals.ts";

describe("a time limit", () => {
  it("aborts when it is over", async () => {
    const limit = timeout(1);
    await vi.waitUntil(() => limit.aborted);
  });

  it.each([
    ["5", 5_000],
    ["5s", 5_000],
    ["0", 2 ** 31 - 1],
  ])("of a request is as kubectl reads it: %s", (text, ms) => {
    expect(requestTimeoutOf(text)).toBe(ms);
  });

  it("may be longer than any timer goes", () => {
    using warned = vi.spyOn(process, "emitWarning");
    expect(timeout(durationOf("30d")).aborted).toBe(false);
    expect(warned).not.toHaveBeenCalled();
  });
});
