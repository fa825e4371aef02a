import { describe, expect, it } from "vitest";
import { afterAnswer, afterTouch, type Progress } from "./progress.ts";

const askedAt = new Date("2026-01-01");
const gracePeriodMs = 2_000;

/** A pod that is asked at these moments, and shows this. */
function asked(
  answers: readonly (readonly [askedMs: number, updates: number, reconfigurationMs?: number])[],
  before?: Progress,
): Progress | undefined {
  return answers.reduce<Progress | undefined>((progress, [askedMs, updates, reconfigurationMs]) => {
    const page = reconfigurationMs === undefined ? { updates } : { updates, reconfigurationMs };
    return afterAnswer(progress, { page, askedMs, askedAt }, gracePeriodMs);
  }, before);
}

function touched(progress: Progress | undefined, askedMs: number, nowMs: number): Progress {
  if (progress === undefined) throw new Error("no answer");
  return afterTouch(progress, { askedMs }, nowMs);
}

describe("a pod", () => {
  it("that reconfigures, and whose Envoy takes it a moment later, is well", () => {
    expect(
      asked([
        [0, 1, 10],
        [5_000, 1, 11],
        [5_500, 2, 11],
        [60_000, 2, 11],
      ]),
    ).toMatchObject({
      ...{ refusals: 0, isStalled: false, isFrozen: false },
    });
  });

  it("whose timer stops a moment after its Envoy has taken it is well, and may be refused the next one", () => {
    const late = [
      [0, 1, 10],
      [5_000, 2, 10],
      [60_000, 2, 11],
      [70_000, 2, 11],
    ] as const;
    expect(asked(late)).toMatchObject({ refusals: 0, isStalled: false });
    expect(asked([...late, [80_000, 2, 12]])?.refusals).toBe(1);
    expect(
      asked([
        [0, 1, 10],
        [5_000, 1, 11],
        [5_500, 2, 11],
        [60_000, 2, 12],
      ])?.refusals,
    ).toBe(1);
  });

  it("that has reconfigured, and whose Envoy has taken nothing of it, is stalled", () => {
    expect(
      asked([
        [0, 1, 10],
        [5_000, 1, 11],
      ])?.isStalled,
    ).toBe(false);
    expect(
      asked([
        [0, 1, 10],
        [5_000, 1, 11],
        [7_000, 1, 11],
      ]),
    ).toMatchObject({
      ...{ isStalled: true, isFrozen: false },
    });
  });

  it("is frozen after three reconfigurations of which Envoy has taken nothing, in ten seconds or more", () => {
    const three = [
      [0, 1, 10],
      [5_000, 1, 11],
      [6_000, 1, 12],
      [7_000, 1, 13],
    ] as const;
    expect(asked(three)?.isFrozen).toBe(false);
    expect(asked([...three, [15_000, 1, 13]])?.isFrozen).toBe(true);
    expect(asked([...three, [15_000, 1, 13], [16_000, 2, 14]])).toMatchObject({
      isFrozen: false,
      refusals: 0,
    });
  });

  it("that is touched three times, and shows no timer, is frozen once it has had its time", () => {
    let progress = asked([[0, 1]]);
    for (const nowMs of [1_000, 4_000, 8_000])
      progress = touched(asked([[nowMs - 1, 1]], progress), nowMs - 1, nowMs);
    expect(asked([[9_999, 1]], progress)?.isFrozen).toBe(false);
    expect(asked([[10_000, 1]], progress)?.isFrozen).toBe(true);
  });

  it("that does not reconfigure although it is touched is not frozen within thirty seconds", () => {
    let progress = asked([[0, 1, 10]]);
    for (const nowMs of [1_000, 4_000, 8_000])
      progress = touched(asked([[nowMs - 1, 1, 10]], progress), nowMs - 1, nowMs);
    expect(asked([[30_999, 1, 10]], progress)?.isFrozen).toBe(false);
    expect(asked([[31_000, 1, 10]], progress)?.isFrozen).toBe(true);
  });

  it("that was not asked between touches has missed one of them", () => {
    let progress = asked([[0, 1]]);
    for (const nowMs of [1_000, 4_000, 8_000]) progress = touched(progress, 0, nowMs);
    expect(progress?.touches).toBe(1);
  });

  describe("whose Envoy restarts without another address", () => {
    const frozen = asked([
      ...[0, 5_000, 6_000, 7_000].map((askedMs) => [askedMs, 3, askedMs] as const),
      [20_000, 3, 7_000],
    ]);
    const later = (uptimeMs: number, askedMs: number, updates = 3) => {
      const page = { updates, reconfigurationMs: 7_000, uptimeMs };
      const known = frozen && { ...frozen, uptimeMs: 600_000 };
      return afterAnswer(known, { page, askedMs, askedAt }, gracePeriodMs);
    };

    it.each([
      ["counts less than before", 605_000, 25_000, 1],
      ["counts as far as before, and has not run as long", 0, 25_000, 3],
      ["counts as far as before, and has run for longer, but not since the last page", 610_000, 2_000_000, 3],
    ])("begins as a new one, if that %s", (_, uptimeMs, askedMs, updates) => {
      expect(frozen?.isFrozen).toBe(true);
      expect(later(uptimeMs, askedMs, updates)).toMatchObject({ isFrozen: false, refusals: 0, touches: 0 });
    });

    it("is not taken for a new one because its uptime lags behind", () => {
      expect(later(600_000, 25_000)?.isFrozen).toBe(true);
      expect(later(600_000, 625_000)?.isFrozen).toBe(true);
    });
  });

  it("whose Envoy does not count shows nothing", () => {
    expect(afterAnswer(asked([[0, 1]]), { page: {}, askedMs: 1, askedAt }, gracePeriodMs)).toBeUndefined();
  });
});
