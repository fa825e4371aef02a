import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { type Requeue, Worker, type WorkerOptions } from "./worker.ts";

type Reconcile = WorkerOptions<string>["reconcile"];

function start(reconcile: Reconcile, options: Partial<WorkerOptions<string>> = {}) {
  const clock = manualClock("2026-01-01T00:00:00Z", { random: () => 0.5 });
  const errors: string[] = [];
  const results: string[] = [];
  const worker = new Worker<string>({
    reconcile,
    clock,
    onError: (key, error) => errors.push(`${key}: ${String(error)}`),
    observer: { reconciled: (result, ms) => results.push(`${result} ${ms}`) },
    ...options,
  });
  return { clock, errors, results, worker };
}

/** Work that ends when the test says so. */
function gated() {
  const begun: string[] = [];
  const gates = new Map<string, PromiseWithResolvers<Requeue | undefined>>();
  return {
    begun,
    reconcile: (key: string) => {
      begun.push(key);
      const gate = Promise.withResolvers<Requeue | undefined>();
      gates.set(key, gate);
      return gate.promise;
    },
    async end(key: string, requeue?: Requeue) {
      gates.get(key)?.resolve(requeue);
      await setImmediate();
    },
  };
}

describe("Worker", () => {
  it("works once on a key that is enqueued several times, and once more on one that is enqueued meanwhile", async () => {
    const work = gated();
    const { worker } = start(work.reconcile);
    for (const key of ["a", "a", "a"]) worker.enqueue(key);
    await setImmediate();
    expect(work.begun).toEqual(["a"]);
    worker.enqueue("a");
    worker.enqueue("a");
    await setImmediate();
    expect([work.begun, worker.depth]).toEqual([["a"], 1]);
    await work.end("a");
    expect([work.begun, worker.depth]).toEqual([["a", "a"], 0]);
    await work.end("a");
    expect(work.begun).toEqual(["a", "a"]);
  });

  it("says how long the key has waited that waits longest", async () => {
    const work = gated();
    const { worker, clock } = start(work.reconcile);
    worker.enqueue("a");
    await setImmediate();
    expect(worker.oldestMs).toBe(0);
    worker.enqueue("b");
    await clock.advance(1_000);
    worker.enqueue("c");
    worker.enqueue("b");
    await clock.advance(500);
    expect(worker.oldestMs).toBe(1_500);
    await worker.remove("b");
    expect(worker.oldestMs).toBe(500);
    await work.end("a");
    expect([work.begun, worker.oldestMs]).toEqual([["a", "c"], 0]);
    await work.end("c");
  });

  it("works on so many keys at once, and on one at a time for each, in the order in which they came", async () => {
    const work = gated();
    const { worker } = start(work.reconcile, { maxConcurrentReconciles: 2 });
    for (const key of ["a", "b", "c", "d"]) worker.enqueue(key);
    await setImmediate();
    worker.enqueue("a");
    expect([work.begun, worker.depth]).toEqual([["a", "b"], 3]);
    await work.end("b");
    await work.end("a");
    expect(work.begun).toEqual(["a", "b", "c", "d"]);
    await work.end("c");
    expect(work.begun).toEqual(["a", "b", "c", "d", "a"]);
  });

  it("comes again when it was asked to, and not at a time that a later reconcile has replaced", async () => {
    const asked: (Requeue | undefined)[] = [
      { requeueAfterMs: 100 },
      { requeueAt: new Date("2026-01-01T00:00:01Z") },
      { requeueAfterMs: 5_000, requeueAt: new Date("2026-01-01T00:00:02Z") },
      { requeueAfterMs: 50 },
      undefined,
    ];
    const times: number[] = [];
    const { worker, clock, results } = start(() => {
      times.push(clock.elapsedMs());
      return Promise.resolve(asked[times.length - 1]);
    });
    worker.enqueue("a");
    await clock.advance(2_010);
    worker.enqueue("a");
    await clock.advance(60_000);
    expect(times).toEqual([0, 100, 1_000, 2_000, 2_010]);
    expect(results).toEqual(["requeue 0", "requeue 0", "requeue 0", "requeue 0", "success 0"]);
    expect(clock.sleeps).toEqual([]);
  });

  const thrown: [string, () => Promise<undefined>, number][] = [
    ["an error", () => Promise.reject(new Error("broken")), 1],
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- plug-ins do
    ["nothing", () => Promise.reject(undefined), 1],
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- plug-ins do
    ["an object without a prototype", () => Promise.reject(Object.create(null)), 4],
    [
      "an error outside of the promise",
      () => {
        throw new Error("broken");
      },
      1,
    ],
  ];
  it.each(thrown)("tries again with back-off after %s was thrown", async (_, fail, reports) => {
    const times: number[] = [];
    const reported: unknown[] = [];
    const reconcile = () => {
      times.push(clock.elapsedMs());
      return times.length <= 4 ? fail() : Promise.resolve(undefined);
    };
    const { worker, clock, results } = start(reconcile, { onError: (_key, error) => reported.push(error) });
    worker.enqueue("a");
    await clock.advance(60_000);
    // Half of 500, 1000, 2000 and 4000 ms.
    expect(times).toEqual([0, 250, 750, 1_750, 3_750]);
    expect(results).toEqual(["error 0", "error 0", "error 0", "error 0", "success 0"]);
    expect(reported).toHaveLength(reports);
    expect(clock.sleeps).toEqual([]);
  });

  it("tries again at the earlier of back-off and the time that a partial failure names", async () => {
    const times: number[] = [];
    const { worker, clock, errors, results } = start(() => {
      times.push(clock.elapsedMs());
      const failure = new Error("no status");
      if (times.length > 3) return Promise.resolve(undefined);
      return Promise.resolve({ failure, requeueAfterMs: times.length === 3 ? 10 : 600 });
    });
    worker.enqueue("a");
    await clock.advance(60_000);
    expect(times).toEqual([0, 250, 750, 760]);
    expect(errors).toEqual(["a: Error: no status"]);
    expect(results).toEqual(["error 0", "error 0", "error 0", "success 0"]);
  });

  it("reports each new failure, and the same one again after a success", async () => {
    const outcomes = ["one", "one", "two", "", "two"];
    const { worker, clock, errors } = start(() => {
      const message = outcomes.shift() ?? "";
      return message === "" ? Promise.resolve(undefined) : Promise.reject(new Error(message));
    });
    worker.enqueue("a");
    await clock.advance(60_000);
    worker.enqueue("a");
    await clock.advance(60_000);
    expect(errors).toEqual(["a: Error: one", "a: Error: two", "a: Error: two"]);
  });

  it("lets no failure of a key delay another one", async () => {
    const begun: string[] = [];
    const { worker } = start((key) => {
      begun.push(key);
      return key === "bad" ? Promise.reject(new Error("broken")) : Promise.resolve(undefined);
    });
    worker.enqueue("bad");
    worker.enqueue("good");
    await setImmediate();
    expect(begun).toEqual(["bad", "good"]);
  });

  it("forgets a key that is removed: its reconcile is called off and awaited, and its timer is gone", async () => {
    const work = gated();
    const signals: AbortSignal[] = [];
    const { worker, clock, results } = start((key, signal) => {
      signals.push(signal);
      return work.reconcile(key);
    });
    worker.enqueue("a");
    await setImmediate();
    worker.enqueue("a");
    let isRemoved = false;
    const removal = worker.remove("a").then(() => (isRemoved = true));
    await setImmediate();
    expect([signals[0]?.aborted, isRemoved, worker.depth]).toEqual([true, false, 0]);
    await work.end("a", { requeueAfterMs: 10 });
    await removal;
    expect([work.begun, clock.sleeps, results]).toEqual([["a"], [], []]);
  });

  it("begins again with a key that is enqueued after its removal, which is no failure", async () => {
    const ends: string[] = [];
    const { worker, clock, errors } = start(async (_, signal) => {
      await clock.sleep(100, signal).catch((error: unknown) => {
        ends.push("interrupted");
        throw error;
      });
      ends.push("done");
      return undefined;
    });
    worker.enqueue("a");
    await clock.advance(50);
    void worker.remove("a");
    worker.enqueue("a");
    await clock.advance(100);
    expect([ends, errors]).toEqual([["interrupted", "done"], []]);
  });

  it("takes nothing once it is stopped, and ends after what is under way", async () => {
    const work = gated();
    const { worker } = start(work.reconcile);
    worker.enqueue("a");
    worker.enqueue("b");
    await setImmediate();
    const stopped = worker[Symbol.asyncDispose]();
    worker.enqueue("c");
    await work.end("a");
    await stopped;
    expect([work.begun, worker.depth]).toEqual([["a"], 0]);
  });
});
