import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { Backoff, delayMs } from "./backoff.ts";
import { MeshError } from "../mesh/errors.ts";

const options = { baseMs: 100, capMs: 1000 };
const away = new MeshError("ATTACHE_MESH_UNREACHABLE", "connection refused");
const refused = new MeshError("ATTACHE_MESH_IDENTITY_REFUSED", "not this one");
const limited = (retryAfterMs: number) => new MeshError("ATTACHE_MESH_RATE_LIMITED", "429", { retryAfterMs });

describe("the delay after failures in a row", () => {
  it("doubles what it is drawn from, up to the cap", () => {
    const drawn = [1, 2, 3, 4, 5, 6, 5000].map((failures) => delayMs(failures, away, 0.5, options));
    expect(drawn).toEqual([50, 100, 200, 400, 500, 500, 500]);
  });

  it("is anywhere between nothing and that, so that callers spread", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (n, random) => {
          const ms = delayMs(n, away, random, options);
          expect(ms).toBeGreaterThanOrEqual(0);
          expect(ms).toBeLessThan(1000);
        },
      ),
    );
    expect(delayMs(4, away, 0, options)).toBe(0);
  });

  it("is near the cap from the first on where only a person can help", () => {
    expect(delayMs(1, refused, 0, options)).toBe(500);
    expect(delayMs(1, refused, 0.5, options)).toBe(750);
  });

  it("is at least what the mesh asks for, spread on top of it, and bounded", () => {
    expect(delayMs(1, limited(7000), 0, options)).toBe(7000);
    expect(delayMs(1, limited(7000), 0.5, options)).toBe(7050);
    expect(delayMs(1, limited(1e12), 0, options)).toBe(600_000);
  });

  it("is the usual one after an error that is not of the mesh", () => {
    expect(delayMs(2, new TypeError("a bug"), 0.5, options)).toBe(100);
  });
});

describe("a back-off", () => {
  it("grows with each failure and begins again after a success", () => {
    const backoff = new Backoff(manualClock(undefined, { random: () => 0.5 }), options);
    expect([backoff.failed(away), backoff.failed(away), backoff.failed(away)]).toEqual([50, 100, 200]);
    expect(backoff.failures).toBe(3);
    backoff.succeeded();
    expect(backoff.failed(away)).toBe(50);
  });

  it("waits for as long as it has drawn", async () => {
    const clock = manualClock(undefined, { random: () => 0.5 });
    const pause = new Backoff(clock, options).pause(away, new AbortController().signal);
    expect(clock.sleeps).toEqual([50]);
    await clock.advance(50);
    await pause;
  });

  it("ends its wait with the reason of an abort", async () => {
    const controller = new AbortController();
    const reason = new Error("over");
    const pause = new Backoff(manualClock()).pause(away, controller.signal);
    controller.abort(reason);
    await expect(pause).rejects.toBe(reason);
  });
});
