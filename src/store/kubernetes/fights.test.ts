import { describe, expect, it } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { Fights } from "./fights.ts";

const name = { kind: "Secret", namespace: "edge", name: "web-mesh-ca" } as const;

function fight(editor: string | undefined) {
  const clock = manualClock();
  const fights = new Fights(clock);
  const pauseMs = () =>
    (fights.pause(name, editor)?.getTime() ?? clock.now().getTime()) - clock.now().getTime();
  return { clock, fights, pauseMs, repair: () => fights.repaired(name, editor) };
}

describe("a repair against somebody who undoes it again and again", () => {
  it("waits longer each time after three, a minute at most", async () => {
    const { clock, pauseMs, repair } = fight("helm");
    const pauses: number[] = [];
    for (let repairs = 0; repairs < 11; repairs += 1) {
      pauses.push(pauseMs() / 1_000);
      await clock.advance(pauseMs());
      repair();
    }
    expect(pauses).toEqual([0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
  });

  it("waits for a second at most where they delete it: what is not there exposes traffic", async () => {
    const { clock, fights, pauseMs, repair } = fight(undefined);
    for (let repairs = 0; repairs < 8; repairs += 1) repair();
    expect(pauseMs()).toBe(1_000);
    expect(fights.problem([name])?.problem).toContain("somebody keeps deleting Secret edge/web-mesh-ca");
    await clock.advance(1_000);
    expect(pauseMs()).toBe(0);
  });

  it("is told in the same words while it lasts, and forgotten after five minutes of peace", async () => {
    const { clock, fights, repair } = fight("helm");
    const told = new Set<string | undefined>();
    for (let repairs = 0; repairs < 6; repairs += 1) {
      repair();
      told.add(fights.problem([name])?.message);
    }
    expect([...told]).toEqual([
      undefined,
      expect.stringContaining('"helm" keeps changing Secret edge/web-mesh-ca'),
    ]);
    expect(fights.peace([name])).toEqual(new Date(clock.now().getTime() + 300_000));
    await clock.advance(300_000);
    expect(fights.problem([name])).toBeUndefined();
    expect(fights.peace([name])).toBeUndefined();
  });

  it("is one with all of them where they take turns, and each is named once", () => {
    const { fights } = fight("helm");
    for (const editor of ["helm", "kubectl", "helm"]) fights.repaired(name, editor);
    expect(fights.pause(name, "kubectl")).toBeDefined();
    expect(fights.problem([name])).toMatchObject({
      problem: expect.stringMatching(
        /^the field managers "helm" and "kubectl" keep changing Secret/,
      ) as string,
      remedy: expect.stringMatching(/^Have "helm" and "kubectl" leave this object alone/) as string,
    });
    fights.repaired(name, undefined);
    expect(fights.problem([name])?.problem).toMatch(/ keep changing and somebody keeps deleting Secret edge/);
    for (let more = 0; more < 50; more += 1) fights.repaired(name, `robot-${more}`);
    expect(fights.problem([name])?.message.length).toBeLessThan(500);
  });

  it("lets what is deleted be away for a second at most, whoever else takes part", () => {
    const { clock, fights } = fight("helm");
    for (let repairs = 0; repairs < 8; repairs += 1) fights.repaired(name, "helm");
    expect(fights.pause(name, undefined)).toEqual(new Date(clock.now().getTime() + 1_000));
    expect(fights.pause(name, "helm")).toEqual(new Date(clock.now().getTime() + 32_000));
  });

  it("is none over another object", () => {
    const { fights } = fight("helm");
    for (let repairs = 0; repairs < 8; repairs += 1) fights.repaired(name, "helm");
    expect(fights.pause({ ...name, name: "web-mesh-cert" }, "helm")).toBeUndefined();
  });
});
