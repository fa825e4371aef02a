import { describe, expect, it, vi } from "vitest";
import { timeoutOf } from "./settings.ts";

describe("a time limit", () => {
  it("aborts when it is over", async () => {
    const limit = timeoutOf("1ms");
    await vi.waitUntil(() => limit.aborted);
  });

  it("may be longer than any timer goes", () => {
    using warned = vi.spyOn(process, "emitWarning");
    expect(timeoutOf("30d").aborted).toBe(false);
    expect(warned).not.toHaveBeenCalled();
  });
});
