import { expect, it, vi } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { runStore } from "../../../test/peers/kubernetes/store-run.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import type { StoreEvent } from "../store.ts";

const minuteMs = 60_000;

/** An identity that nothing uses, whose deletion has just begun. */
async function deleting(deletionGraceMs = minuteMs, annotations?: Readonly<Record<string, string>>) {
  const clock = manualClock();
  const cluster = fakeCluster();
  const run = await runStore(cluster, { uses: undefined, clock, deletionGraceMs });
  const identity = await run.put("web");
  await run.store.apply(identity, targetOf(identity, "1"));
  const { namespace } = run;
  const path = pathOf(resources.meshCertificates, { namespace, name: "web" });
  if (annotations !== undefined) await cluster.admin.patch(path, { metadata: { annotations } });
  await run.peer.remove(`${namespace}/web`);
  const mappings = pathOf(resources.mappings, { namespace });
  /** The next event that says what is to become of the identity. */
  const verdict = async (): Promise<StoreEvent> => {
    for (;;) {
      const event = await run.events.any();
      if (event.type !== "uses" && event.type !== "drift") return event;
    }
  };
  return {
    ...{ run, clock, verdict },
    use: async () => {
      await cluster.admin.create(mappings, {
        metadata: { name: "late", namespace },
        spec: { prefix: "/", service: "web", tls: "web" },
      });
      await vi.waitFor(() => expect(run.store.usesOf(identity)).toHaveLength(1));
    },
    disuse: () => cluster.admin.delete(`${mappings}/late`),
    /** The next verdict, and a mock that is called when it comes. */
    awaited: () => {
      const next = verdict();
      const early = vi.fn();
      void next.then(early, early);
      return { next, early };
    },
  };
}

it("an identity that nothing uses is withdrawn a minute after its deletion began, and not before", async () => {
  const { run, clock, verdict, awaited } = await deleting();
  await using _ = run;
  expect(await verdict()).toMatchObject({ type: "identity" });
  const { next, early } = awaited();
  await clock.advance(minuteMs - 1);
  expect(early).not.toHaveBeenCalled();
  expect(await run.peer.objects()).toHaveLength(3);
  await clock.advance(1);
  const gone = await next;
  if (gone.type !== "gone") expect.unreachable();
  await run.store.withdraw(gone.identity);
  expect(await run.peer.objects()).toEqual([]);
});

it("a use that appears in the minute after a deletion began stops it, until the use ends", async () => {
  const { run, clock, verdict, awaited, use, disuse } = await deleting();
  await using _ = run;
  expect(await verdict()).toMatchObject({ type: "identity" });
  await clock.advance(minuteMs - 1);
  await use();
  const { next, early } = awaited();
  await clock.advance(60 * minuteMs);
  expect(early).not.toHaveBeenCalled();
  await disuse();
  // The minute is over long ago.
  expect(await next).toMatchObject({ type: "gone" });
});

it("a step of the wall clock does not shorten the minute", async () => {
  const { run, clock, verdict, awaited } = await deleting();
  await using _ = run;
  expect(await verdict()).toMatchObject({ type: "identity" });
  const { next, early } = awaited();
  clock.set(new Date(clock.now().getTime() + 60 * minuteMs));
  await clock.advance(minuteMs - 1);
  expect(early).not.toHaveBeenCalled();
  await clock.advance(1);
  expect(await next).toMatchObject({ type: "gone" });
});

it.each([
  ["without such a time", 0, undefined],
  ["with the annotation that forces it", minuteMs, { "attache.dev/force-delete": "true" }],
])("a deletion %s begins at once", async (_what, graceMs, annotations) => {
  const { run, verdict } = await deleting(graceMs, annotations);
  await using _ = run;
  let event = await verdict();
  // The annotation is a change of its own.
  if (annotations !== undefined && event.type === "identity") event = await verdict();
  expect(event).toMatchObject({ type: "gone" });
});

it("an identity for which nothing is published goes at once", async () => {
  const run = await runStore(fakeCluster(), { clock: manualClock(), deletionGraceMs: minuteMs });
  await using _ = run;
  await run.put("web");
  await run.peer.remove(`${run.namespace}/web`);
  await run.events.next("gone");
});
