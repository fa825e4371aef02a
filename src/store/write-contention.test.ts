import { describe, expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { WriteContention } from "./write-contention.ts";

const name = { kind: "Secret", namespace: "edge", name: "web-mesh-ca" } as const;

function contend(editor: string | undefined) {
  const clock = manualClock();
  const contention = new WriteContention(clock);
  const pauseMs = () => contention.pauseMs(name, editor);
  return { clock, contention, pauseMs, repair: () => contention.repaired(name, editor) };
}

describe("a repair that another client undoes again and again", () => {
  it("waits longer each time after three, a minute at most", async () => {
    const { clock, pauseMs, repair } = contend("helm");
    const pauses: number[] = [];
    for (let repairs = 0; repairs < 11; repairs += 1) {
      pauses.push(pauseMs() / 1_000);
      await clock.advance(pauseMs());
      repair();
    }
    expect(pauses).toEqual([0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
  });

  it("waits for a second at most where they delete it: what is not there exposes traffic", async () => {
    const { clock, contention, pauseMs, repair } = contend(undefined);
    for (let repairs = 0; repairs < 8; repairs += 1) repair();
    expect(pauseMs()).toBe(1_000);
    expect(contention.problem([name])?.error.problem).toContain(
      "another client keeps deleting Secret edge/web-mesh-ca",
    );
    await clock.advance(1_000);
    expect(pauseMs()).toBe(0);
  });

  it("is reported in the same words while it lasts, and forgotten after five minutes without a repair", async () => {
    const { clock, contention, repair } = contend("helm");
    const messages = new Set<string | undefined>();
    for (let repairs = 0; repairs < 6; repairs += 1) {
      repair();
      messages.add(contention.problem([name])?.error.message);
    }
    expect([...messages]).toEqual([
      undefined,
      expect.stringContaining('"helm" keeps changing Secret edge/web-mesh-ca'),
    ]);
    expect(contention.problem([name])?.endsInMs).toBe(300_000);
    await clock.advance(300_000);
    expect(contention.problem([name])).toBeUndefined();
  });

  it("is one with all of them where they take turns, and each is named once", () => {
    const { contention } = contend("helm");
    for (const editor of ["helm", "kubectl", "helm"]) contention.repaired(name, editor);
    expect(contention.pauseMs(name, "kubectl")).toBe(1_000);
    expect(contention.problem([name])?.error).toMatchObject({
      problem: expect.stringMatching(
        /^the field managers "helm" and "kubectl" keep changing Secret/,
      ) as string,
      remedy: expect.stringMatching(/^Have "helm" and "kubectl" leave this object alone/) as string,
    });
    contention.repaired(name, undefined);
    expect(contention.problem([name])?.error.problem).toMatch(
      / keep changing and another client keeps deleting Secret edge/,
    );
    for (let more = 0; more < 50; more += 1) contention.repaired(name, `robot-${more}`);
    expect(contention.problem([name])?.error.message.length).toBeLessThan(500);
  });

  it("lets what is deleted be away for a second at most, whichever other client takes part", () => {
    const { contention } = contend("helm");
    for (let repairs = 0; repairs < 8; repairs += 1) contention.repaired(name, "helm");
    expect(contention.pauseMs(name, undefined)).toBe(1_000);
    expect(contention.pauseMs(name, "helm")).toBe(32_000);
  });

  it("waits no longer when the wall clock is set back by two hours meanwhile", async () => {
    const { clock, pauseMs, repair } = contend(undefined);
    for (let repairs = 0; repairs < 4; repairs += 1) repair();
    clock.set(new Date(clock.now().getTime() - 7_200_000));
    expect(pauseMs()).toBe(1_000);
    await clock.advance(1_000);
    expect(pauseMs()).toBe(0);
  });

  it("is none over another object", () => {
    const { contention } = contend("helm");
    for (let repairs = 0; repairs < 8; repairs += 1) contention.repaired(name, "helm");
    expect(contention.pauseMs({ ...name, name: "web-mesh-cert" }, "helm")).toBe(0);
  });
});
