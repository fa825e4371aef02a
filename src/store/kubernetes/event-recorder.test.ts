import { describe, expect, it } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import type { ApiRequest, KubeClient } from "../../kube/client.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import { createLogger } from "../../telemetry/logger.ts";
import { EventRecorder } from "./event-recorder.ts";
import type { StatusEvent } from "./status-events.ts";

const regarding = { resource: resources.meshCertificates, namespace: "edge", name: "web", uid: "u" };
const statusEvent: StatusEvent = {
  type: "Warning",
  reason: "Unreachable",
  action: "Obtain",
  note: "It is away.",
};

function record(api: Pick<KubeClient, "request"> = fakeCluster().api()) {
  const clock = manualClock();
  const logged: string[] = [];
  const logger = createLogger("info", { write: (line) => void logged.push(line) });
  return { clock, logged, recorder: new EventRecorder({ api, clock, logger, installation: "attache" }) };
}

interface Written {
  readonly items: readonly { readonly note: string; readonly series?: object }[];
}

async function seriesIn(cluster: ReturnType<typeof fakeCluster>) {
  const { items } = await cluster.admin.get<Written>(pathOf(resources.events, { namespace: "edge" }));
  return items.map(({ series }) => series);
}

describe("an Event", () => {
  it("counts what happens again, however much later", { tags: ["dates"] }, async () => {
    const cluster = fakeCluster();
    const { clock, recorder } = record(cluster.api());
    for (const pauseMs of [0, 60_000, 3_000_000]) {
      await clock.advance(pauseMs);
      recorder.record(regarding, statusEvent);
      await recorder[Symbol.asyncDispose]();
    }
    expect(await seriesIn(cluster)).toEqual([{ count: 3, lastObservedTime: "2026-01-01T00:51:00.000000Z" }]);
  });

  it("is one of the same series after a restart, and when another installation has reported the same", async () => {
    const cluster = fakeCluster();
    for (let installations = 0; installations < 3; installations += 1) {
      const { recorder } = record(cluster.api());
      recorder.record(regarding, statusEvent);
      await recorder[Symbol.asyncDispose]();
    }
    expect(await seriesIn(cluster)).toMatchObject([{ count: 2 }]);
  });

  it("is another one when it says something else, or is about something else", async () => {
    const cluster = fakeCluster();
    const { recorder } = record(cluster.api());
    recorder.record(regarding, statusEvent);
    recorder.record(regarding, { ...statusEvent, note: "It is away, still." });
    recorder.record({ ...regarding, uid: "v" }, statusEvent);
    await recorder[Symbol.asyncDispose]();
    expect(await seriesIn(cluster)).toEqual([undefined, undefined, undefined]);
  });

  it("begins a new series when the first of the old is gone", async () => {
    const cluster = fakeCluster();
    const { recorder } = record(cluster.api());
    const path = pathOf(resources.events, { namespace: "edge" });
    recorder.record(regarding, statusEvent);
    await recorder[Symbol.asyncDispose]();
    const { items } = await cluster.admin.get<{ items: { metadata: { name: string } }[] }>(path);
    await cluster.admin.delete(`${path}/${items[0]?.metadata.name ?? ""}`);
    recorder.record(regarding, statusEvent);
    await recorder[Symbol.asyncDispose]();
    expect((await cluster.admin.get<Written>(path)).items).toHaveLength(1);
  });

  it("is cut at a kilobyte, in the midst of no character, and has a name that fits", async () => {
    const bodies: { metadata: { name: string }; note: string }[] = [];
    const request = <T>({ body }: ApiRequest): Promise<T> => {
      bodies.push(body as (typeof bodies)[number]);
      return Promise.resolve({} as T);
    };
    const { recorder } = record({ request });
    recorder.record(
      { ...regarding, name: `${"x".repeat(199)}-${"y".repeat(53)}` },
      { ...statusEvent, note: "ä€".repeat(500) },
    );
    await recorder[Symbol.asyncDispose]();
    const [{ metadata, note } = { metadata: { name: "" }, note: "" }] = bodies;
    expect(Buffer.byteLength(note)).toBeLessThanOrEqual(1024);
    expect(note).toMatch(/^(?:ä€)+ä?…$/);
    expect(metadata.name).toMatch(/^x{199}\.[0-9a-f]{16}$/);
  });

  it("finds room beside those of an object that has more to say than can be written", async () => {
    const cluster = fakeCluster();
    const { recorder } = record(cluster.api());
    for (let times = 0; times < 300; times += 1)
      recorder.record(regarding, { ...statusEvent, note: `It is away, ${times}.` });
    recorder.record({ ...regarding, uid: "v" }, { ...statusEvent, note: "And so is this." });
    await recorder[Symbol.asyncDispose]();
    recorder.record(regarding, { ...statusEvent, note: "It is there." });
    await recorder[Symbol.asyncDispose]();
    const { items } = await cluster.admin.get<Written>(pathOf(resources.events, { namespace: "edge" }));
    const notes = items.map(({ note }) => note);
    expect(notes).toHaveLength(18);
    expect(notes.slice(-2)).toEqual(["And so is this.", "It is there."]);
  });

  it("finds room beside those of another namespace, however many objects that has", async () => {
    const cluster = fakeCluster();
    const { recorder } = record(cluster.api());
    for (let objects = 0; objects < 300; objects += 1)
      recorder.record({ ...regarding, namespace: "crowd", uid: `${objects}` }, statusEvent);
    recorder.record(regarding, statusEvent);
    await recorder[Symbol.asyncDispose]();
    expect(await seriesIn(cluster)).toHaveLength(1);
  });

  it("that cannot be written is dropped, and reported once", async () => {
    const request = () => Promise.reject(new Error("the test says no"));
    const { recorder, logged } = record({ request });
    for (let times = 0; times < 5; times += 1) recorder.record(regarding, statusEvent);
    await recorder[Symbol.asyncDispose]();
    expect(logged).toHaveLength(1);
    expect(logged[0]).toContain("an Event was not written");
  });
});
