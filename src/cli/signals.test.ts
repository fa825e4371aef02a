import { describe, expect, it, vi } from "vitest";
import { durationOf, timeout } from "./signals.ts";

describe("a time limit", () => {
  it("aborts when it is over", async () => {
    const limit = timeout(1);
    await vi.waitUntil(() => limit.aborted);
  });

  it("may be longer than any timer goes", () => {
    using warned = vi.spyOn(process, "emitWarning");
    expect(timeout(durationOf("30d")).aborted).toBe(false);
    expect(warned).not.toHaveBeenCalled();
  });
});
