import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { cases } from "../../test/fixtures/cases.ts";
import { manualClock, type ManualClock } from "../../test/fixtures/clock.ts";
import { type Outcome, leaseServer, type LeaseServer } from "../../test/fixtures/lease-api.ts";
import type { Clock } from "../runtime/clock.ts";
import { createLogger } from "../telemetry/logger.ts";
import { leadership, type LeadershipState, type LeadershipTerm } from "./leader-election.ts";

/** One who wants to lead, and does nothing else while it does. */
interface Contender {
  readonly terms: readonly LeadershipTerm[];
  readonly states: readonly LeadershipState[];
  readonly isLeading: boolean;
  /** As SIGTERM does; resolves when it has ended. */
  stop(): Promise<void>;
}

interface ContenderOptions {
  readonly outcome?: () => Outcome;
  readonly clock?: Clock;
  /** What it still does when its term is over. */
  readonly ending?: () => Promise<void>;
  readonly isPredecessor?: (holder: string) => boolean;
  readonly annotations?: () => Readonly<Record<string, string | undefined>>;
  readonly revision?: string;
}

function contend(
  server: LeaseServer,
  holder: string,
  clock: Clock,
  options: ContenderOptions = {},
): Contender {
  const stopping = new AbortController();
  const terms: LeadershipTerm[] = [];
  const states: LeadershipState[] = [];
  const ended = (async () => {
    const candidacy = {
      api: server.api(options.outcome),
      name: "attache",
      holder,
      isPredecessor: options.isPredecessor,
      ...(options.annotations && { annotations: options.annotations }),
      revision: options.revision,
      changed: (state: LeadershipState) => states.push(state),
      logger: createLogger("silent"),
      clock,
    };
    for await (const term of leadership(candidacy, stopping.signal)) {
      terms.push(term);
      await new Promise((resolve) => term.signal.addEventListener("abort", resolve, { once: true }));
      await options.ending?.();
    }
  })();
  const contender = {
    terms,
    states,
    get isLeading() {
      return terms.at(-1)?.isCurrent === true;
    },
    async stop() {
      stopping.abort(new Error("SIGTERM"));
      await ended;
    },
  };
  onTestFinished(() => stopping.abort());
  return contender;
}

/** Lets time pass in small steps, until `condition` holds; the seconds that it took. */
async function secondsUntil(clock: ManualClock, condition: () => boolean, most = 60): Promise<number> {
  const from = clock.elapsedMs();
  while (!condition()) {
    if (clock.elapsedMs() - from > most * 1000) throw new Error(`not within ${most} s`);
    await clock.advance(100);
  }
  return (clock.elapsedMs() - from) / 1000;
}

const setUp = () => {
  const clock = manualClock();
  return { clock, server: leaseServer(clock) };
};

describe("leadership", () => {
  it("goes to the first at once, which keeps it for as long as it lives", async () => {
    const { clock, server } = setUp();
    const a = contend(server, "a", clock);
    await secondsUntil(clock, () => a.isLeading, 1);
    expect(server.lease?.spec).toMatchObject({
      holderIdentity: "a",
      leaseDurationSeconds: 15,
      acquireTime: "2026-01-01T00:00:00.000000Z",
      leaseTransitions: 0,
    });
    const b = contend(server, "b", clock);
    await clock.advance(600_000);
    expect(a.terms).toHaveLength(1);
    expect(a.isLeading).toBe(true);
    expect(b.terms).toEqual([]);
    expect(b.states).toEqual([{ isLeading: false, holder: "a" }]);
    expect(server.lease?.spec?.acquireTime).toBe("2026-01-01T00:00:00.000000Z");
  });

  it("has on its Lease what the leader notes, for as long as it does, and what others put there", async () => {
    const { clock, server } = setUp();
    let note: string | undefined;
    const a = contend(server, "a", clock, { annotations: () => ({ note }) });
    await secondsUntil(clock, () => a.isLeading, 1);
    const annotated = (annotations: Readonly<Record<string, string>>) =>
      server.edit((lease) => ({ ...lease, metadata: { ...lease.metadata, annotations } }));
    const seen = () => JSON.stringify(server.lease?.metadata.annotations);
    expect(seen()).toBe("{}");
    annotated({ other: "theirs" });
    note = "mine";
    await secondsUntil(clock, () => seen() === '{"other":"theirs","note":"mine"}', 10);
    note = undefined;
    await secondsUntil(clock, () => seen() === '{"other":"theirs"}', 10);
    expect(a.isLeading).toBe(true);
  });

  it("passes within a second when the leader is stopped, and after that has ended its work", async () => {
    const { clock, server } = setUp();
    const work = Promise.withResolvers<undefined>();
    const a = contend(server, "a", clock, { ending: () => work.promise });
    await secondsUntil(clock, () => a.isLeading, 1);
    const b = contend(server, "b", clock);
    await clock.advance(5_000);
    const stopped = a.stop();
    expect(a.terms[0]?.signal.aborted).toBe(true);
    await clock.advance(60_000);
    expect(a.isLeading).toBe(true);
    expect(b.isLeading).toBe(false);
    work.resolve(undefined);
    await stopped;
    expect(a.isLeading).toBe(false);
    expect(server.lease?.spec).not.toHaveProperty("holderIdentity");
    expect(await secondsUntil(clock, () => b.isLeading)).toBeLessThanOrEqual(1.1);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: "b", leaseTransitions: 1 });
  });

  it("passes within 20 s when the leader is killed", async () => {
    const { clock, server } = setUp();
    let isDead = false;
    const a = contend(server, "a", clock, { outcome: () => (isDead ? "refused" : "done") });
    await secondsUntil(clock, () => a.isLeading, 1);
    const b = contend(server, "b", clock);
    await clock.advance(30_000);
    isDead = true;
    expect(await secondsUntil(clock, () => b.isLeading)).toBeLessThanOrEqual(20);
  });

  it("passes at once to a process that started again in the place of the leader", async () => {
    const { clock, server } = setUp();
    let isDead = false;
    const a = contend(server, "pod_1", clock, { outcome: () => (isDead ? "refused" : "done") });
    await secondsUntil(clock, () => a.isLeading, 1);
    isDead = true;
    const isPredecessor = (holder: string) => holder.startsWith("pod_");
    const again = contend(server, "pod_2", clock, { isPredecessor });
    await secondsUntil(clock, () => again.isLeading, 1);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: "pod_2", leaseTransitions: 1 });
  });

  it("passes at once from a leader whose lease another client has just touched", async () => {
    const { clock, server } = setUp();
    const a = contend(server, "a", clock);
    await secondsUntil(clock, () => a.isLeading, 1);
    const b = contend(server, "b", clock);
    await clock.advance(5_000);
    server.edit((lease) => lease);
    await a.stop();
    expect(await secondsUntil(clock, () => b.isLeading)).toBeLessThanOrEqual(1.1);
  });

  it.each([
    ["first", ["a", "b"]],
    ["last", ["b", "a"]],
  ])("passes once in a rollout that stops the leader %s", async (_, stopped) => {
    const { clock, server } = setUp();
    const start = (holder: string, revision: string) => contend(server, holder, clock, { revision });
    const pods = { a: start("a", "1"), b: start("b", "1") };
    await secondsUntil(clock, () => pods.a.isLeading || pods.b.isLeading, 1);
    expect(pods.a.isLeading).toBe(true);
    await clock.advance(10_000);
    const next: Contender[] = [];
    const isLed = () => [pods.a, pods.b, ...next].some((one) => one.isLeading);
    for (const name of stopped as ("a" | "b")[]) {
      next.push(start(`next to ${name}`, "2"));
      await clock.advance(1_000);
      await pods[name].stop();
      expect(await secondsUntil(clock, isLed)).toBeLessThanOrEqual(0.6);
      await clock.advance(10_000);
    }
    expect(next.some((one) => one.isLeading)).toBe(true);
    expect(server.lease?.spec).toMatchObject({ leaseTransitions: 1 });
  });

  it("passes to a replica of the former revision if those of the new one cannot take it", async () => {
    const { clock, server } = setUp();
    let outcome: Outcome = "done";
    const a = contend(server, "a", clock, { revision: "1" });
    await secondsUntil(clock, () => a.isLeading, 1);
    const b = contend(server, "b", clock, { revision: "1" });
    const c = contend(server, "c", clock, { revision: "2", outcome: () => outcome });
    await clock.advance(5_000);
    outcome = "refused";
    await a.stop();
    expect(await secondsUntil(clock, () => b.isLeading)).toBeLessThanOrEqual(3.2);
    expect(c.terms).toEqual([]);
    // From then on the revision of the leader counts again.
    const d = contend(server, "d", clock, { revision: "1" });
    await clock.advance(5_000);
    await b.stop();
    expect(await secondsUntil(clock, () => d.isLeading)).toBeLessThanOrEqual(1.1);
  });

  it("is over for a leader that cannot renew before another one has it", async () => {
    const { clock, server } = setUp();
    let outcome: Outcome = "done";
    const a = contend(server, "a", clock, { outcome: () => outcome });
    await secondsUntil(clock, () => a.isLeading, 1);
    const b = contend(server, "b", clock);
    await clock.advance(5_000);
    outcome = "refused";
    await secondsUntil(clock, () => a.terms[0]?.signal.aborted === true, 10);
    expect(a.terms[0]?.signal.reason).toMatchObject({ code: "ATTACHE_KUBERNETES_DEPOSED" });
    expect(b.isLeading).toBe(false);
    await secondsUntil(clock, () => b.isLeading);
    outcome = "done";
    await clock.advance(5_000);
    expect(a.states.at(-1)).toEqual({ isLeading: false, holder: "b" });
  });

  it("survives faults that are shorter, requests that hang and answers that are lost", async () => {
    const { clock, server } = setUp();
    let outcome: Outcome = "done";
    const a = contend(server, "a", clock, { outcome: () => outcome });
    await secondsUntil(clock, () => a.isLeading, 1);
    for (const fault of ["refused", "unanswered", 60_000] as const) {
      outcome = fault;
      await clock.advance(5_000);
      outcome = "done";
      await clock.advance(10_000);
    }
    expect(a.terms).toHaveLength(1);
    expect(a.isLeading).toBe(true);
    expect(a.states.at(-1)).toEqual({ isLeading: true, holder: "a" });
    expect(a.states.some(({ error }) => error !== undefined)).toBe(true);
  });

  it("is over at once for a leader that finds another one, or no lease", async () => {
    const { clock, server } = setUp();
    const a = contend(server, "a", clock);
    await secondsUntil(clock, () => a.isLeading, 1);
    server.edit((lease) => ({ ...lease, spec: { ...lease.spec, holderIdentity: "another" } }));
    await secondsUntil(clock, () => !a.isLeading, 3.2);
    await secondsUntil(clock, () => a.isLeading);

    server.lease = undefined;
    await secondsUntil(clock, () => a.terms[1]?.signal.aborted === true, 3.2);
    await secondsUntil(clock, () => a.isLeading, 2);
    expect(a.terms).toHaveLength(3);
  });

  it("stays with a leader whose lease another client has only touched", async () => {
    const { clock, server } = setUp();
    const a = contend(server, "a", clock);
    await secondsUntil(clock, () => a.isLeading, 1);
    server.edit(
      ({ spec, metadata }) => ({ spec, metadata: { ...metadata, labels: { by: "hand" } } }) as never,
    );
    await clock.advance(20_000);
    expect(a.terms).toHaveLength(1);
    expect(server.lease?.metadata.labels).toEqual({ by: "hand" });
  });

  it("is known to be over by a process that was stopped, before anything tells it", async () => {
    const { clock, server } = setUp();
    const a = contend(server, "a", clock);
    await secondsUntil(clock, () => a.isLeading, 1);
    clock.stall(60_000);
    expect(a.terms[0]?.isCurrent).toBe(false);
    expect(a.terms[0]?.signal.aborted).toBe(true);
  });

  it("does not depend on what clocks show", async () => {
    const { clock, server } = setUp();
    const a = contend(server, "a", clock);
    await secondsUntil(clock, () => a.isLeading, 1);
    const b = contend(server, "b", { ...clock, now: () => new Date("2036-01-01") });
    await clock.advance(30_000);
    clock.set(new Date("2016-01-01"));
    await clock.advance(30_000);
    expect([a.isLeading, b.isLeading]).toEqual([true, false]);
  });

  it("is given back when the consumer wants no more", async () => {
    const { clock, server } = setUp();
    const options = {
      api: server.api(),
      name: "attache",
      holder: "a",
      logger: createLogger("silent"),
      clock,
    };
    for await (const _term of leadership(options, new AbortController().signal)) break;
    expect(server.lease?.spec).not.toHaveProperty("holderIdentity");
    expect(clock.sleeps).toEqual([]);
  });

  it(
    "never belongs to two, whatever happens to requests and processes, and to one again afterwards",
    { tags: ["search"] },
    async () => {
      const outcome = fc.oneof(
        { weight: 6, arbitrary: fc.constant<Outcome>("done") },
        fc.constant<Outcome>("refused"),
        fc.constant<Outcome>("unanswered"),
        fc.integer({ min: 100, max: 25_000 }),
      );
      const life = fc.record({
        outcomes: fc.array(outcome, { maxLength: 60 }),
        /** When it is stopped, and for how long. */
        stops: fc.array(
          fc.tuple(fc.integer({ max: 120_000, min: 0 }), fc.integer({ min: 1_000, max: 40_000 })),
          {
            maxLength: 2,
          },
        ),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(life, { minLength: 2, maxLength: 3 }), async (lives) => {
          const clock = manualClock();
          const server = leaseServer(clock);
          const contenders = lives.map(({ outcomes, stops }, i) =>
            contend(server, `c${i}`, stopping(clock, stops), {
              outcome: () => outcomes.shift() ?? "done",
              revision: String(i % 2),
            }),
          );
          for (let second = 0; second < 120; second += 0.5) {
            await clock.advance(500);
            expect(contenders.filter((one) => one.isLeading).length).toBeLessThanOrEqual(1);
          }
          await secondsUntil(clock, () => contenders.some((one) => one.isLeading), 300);
          await Promise.all(contenders.map((one) => one.stop()));
        }),
        { numRuns: cases(10, 200) },
      );
    },
  );
});

/** The clock of a process that is stopped now and then: what is due meanwhile happens when it goes on. */
function stopping(clock: ManualClock, stops: readonly (readonly [number, number])[]): Clock {
  return {
    ...clock,
    async sleep(ms, signal) {
      await clock.sleep(ms, signal);
      const stop = stops.find(([from, ms]) => from <= clock.elapsedMs() && clock.elapsedMs() < from + ms);
      if (stop !== undefined) await clock.sleep(stop[0] + stop[1] - clock.elapsedMs(), signal);
    },
  };
}
