import { describe, expect, it } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { MeshError } from "../errors.ts";
import { checking, failed, late, ok, warning, within } from "./checks.ts";

const refused = new MeshError("ATTACHE_MESH_FORBIDDEN", "may not", { remedy: "Grant it." });

describe("a line of check()", () => {
  it("says what was seen, and what to do unless all is well", () => {
    expect(ok("TLS", "verified")).toEqual({ name: "TLS", status: "ok", message: "verified" });
    expect(warning("TLS", "off", "Turn it on.")).toMatchObject({ status: "warning", remedy: "Turn it on." });
    expect(failed("token", refused)).toEqual({
      name: "token",
      status: "failed",
      message: "may not",
      remedy: "Grant it.",
    });
  });

  it("is a failure where the mesh fails, and no line at all of a bug", async () => {
    const line = ok("token", "accepted");
    expect(await checking("token", () => Promise.resolve([line]))).toEqual([line]);
    expect(await checking("token", () => Promise.reject(refused))).toEqual([failed("token", refused)]);
    const bug = new TypeError("a bug");
    await expect(checking("token", () => Promise.reject(bug))).rejects.toBe(bug);
  });
});

describe("work within a limit", () => {
  const limit = { ms: 5_000, late: () => late("the agent", 5_000, "Look at its log.") };

  it("gives its result, aborts its own signal and leaves no timer behind", async () => {
    const clock = manualClock();
    let given: AbortSignal | undefined;
    const work = (signal: AbortSignal) => {
      given = signal;
      return Promise.resolve("done");
    };
    expect(await within({ ...limit, clock }, work)).toBe("done");
    expect(given?.aborted).toBe(true);
    expect(clock.sleeps).toEqual([]);
  });

  it("ends with the error of being late, also where the work heeds no signal", async () => {
    const clock = manualClock();
    const result = within({ ...limit, clock }, () => new Promise<never>(() => undefined));
    const outcome = expect(result).rejects.toMatchObject({
      code: "ATTACHE_MESH_TIMEOUT",
      problem: "the agent did not answer in 5 s",
      remedy: "Look at its log.",
    });
    await clock.advance(5_000);
    await outcome;
  });

  it("ends with the reason of an outer signal, also one that has aborted before", async () => {
    const clock = manualClock();
    const over = new AbortController();
    const reason = new Error("over");
    const waits = () =>
      within({ ...limit, clock, signal: over.signal }, () => new Promise<never>(() => undefined));
    const outcome = expect(waits()).rejects.toBe(reason);
    over.abort(reason);
    await outcome;
    await expect(waits()).rejects.toBe(reason);
    expect(clock.sleeps).toEqual([]);
  });
});
