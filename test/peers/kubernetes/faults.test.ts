import { expect, it, onTestFinished, vi } from "vitest";
import { longWait, Stage } from "./stage.ts";

it("a reload that is refused shows in readyz and as an Event until the file is good again", async () => {
  const stage = await Stage.open();
  onTestFinished(() => stage[Symbol.asyncDispose]());
  const attache = await stage.start();
  await stage.untilReady();
  const refusals = async () => (await attache.findings()).filter((line) => line.includes("refused"));
  await attache.configure({ ...stage.settings(), nonsense: true });
  await vi.waitFor(async () => {
    const [line] = await refusals();
    expect(line).toMatch(/^\[!\] settings: refused at \S+Z, ATTACHE_DOCUMENT_INVALID;/);
    const [event] = (await stage.events()).filter(({ object }) => object["reason"] === "SettingsRefused");
    expect(event?.object).toMatchObject({
      type: "Warning",
      regarding: { kind: "Pod", namespace: stage.namespace },
    });
    expect(event?.object["note"]).toContain("nonsense: unknown key");
  }, longWait);
  await attache.configure(stage.settings());
  await vi.waitFor(async () => expect(await refusals()).toEqual([]), longWait);
});
