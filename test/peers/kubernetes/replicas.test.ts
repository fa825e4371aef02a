import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import type { AttacheProcess } from "./attache-process.ts";
import { startCluster } from "./cluster.ts";
import { longWait, Stage } from "./stage.ts";

async function isReady(replica: AttacheProcess): Promise<void> {
  await vi.waitFor(async () => expect(await replica.probe("/readyz")).toBe(200), longWait);
}

async function leads(replica: AttacheProcess): Promise<void> {
  await vi.waitFor(
    async () => expect(await replica.metric("attache_leader"), replica.output()).toBe(1),
    longWait,
  );
}

/** One that leads, another one that waits, and all that there is published. */
async function pair(stage: Stage, settings: Parameters<Stage["start"]>[0] = {}) {
  const leader = await stage.start(settings);
  await leads(leader);
  const standby = await stage.start(settings);
  await stage.untilReady();
  await isReady(standby);
  return [leader, standby] as const;
}

/** What every write raises, and every new leaf. */
async function traces(stage: Stage) {
  const objects = await stage.objects();
  const versions = objects.map(({ path, object }) => [path, object.metadata.resourceVersion] as const);
  return { versions: Object.fromEntries(versions), asked: [...stage.signer.asked] };
}

/** Shows that it has looked at everything, asked for nothing and written nothing, and does its work now. */
async function goesOn(
  stage: Stage,
  successor: AttacheProcess,
  before: Awaited<ReturnType<typeof traces>>,
  { unchanged = 0, writes = 0 } = {},
) {
  await leads(successor);
  const looked = async () =>
    expect(await successor.metric("attache_store_unchanged_total")).toBeGreaterThanOrEqual(unchanged + 3);
  await vi.waitFor(looked, longWait);
  expect(await traces(stage)).toEqual(before);
  expect(await successor.metric("attache_store_writes_total")).toBe(writes);
  await renewed(stage, "after the change");
  expect(stage.signer.asked).toHaveLength(before.asked.length + 1);
}

/** Resolves when the new leaf is published, and the status says so. */
async function renewed(stage: Stage, value: string): Promise<void> {
  const [name = ""] = stage.names;
  const status = async () => (await stage.identity(name)).status;
  const before = (await status())?.serialNumber;
  await stage.renew(name, value);
  await vi.waitFor(async () => {
    const { lastRenewRequest, serialNumber } = (await status()) ?? {};
    expect(lastRenewRequest).toBe(value);
    expect(serialNumber).not.toBe(before);
  }, longWait);
}

describe("of two replicas", () => {
  it("the other one goes on when the leader is killed, asks for nothing and writes nothing", async () => {
    await using stage = await Stage.open();
    const [leader, standby] = await pair(stage);
    expect(await standby.metric("attache_identities")).toBe(0);
    const before = await traces(stage);
    leader.signal("SIGKILL");
    await leader.ended;
    await goesOn(stage, standby, before);
  });

  it("the leader hands over on SIGTERM, however long the lease is", async () => {
    await using stage = await Stage.open();
    const [leader, standby] = await pair(stage, { leaseDuration: "600s" });
    const before = await traces(stage);
    leader.signal("SIGTERM");
    expect(await leader.ended).toBe(0);
    await goesOn(stage, standby, before);
  });

  it(
    "one that slept a minute, through its end, wakes up with a credential in hand, and changes nothing",
    { timeout: 180_000 },
    async () => {
      await using stage = await Stage.open();
      const [stopped, standby] = await pair(stage);
      const release = stage.signer.hold();
      const renewal = renewed(stage, "while it falls asleep");
      const { asked } = stage.signer;
      const askedAgain = (times: number) =>
        vi.waitFor(() => expect(asked.length).toBeGreaterThan(times), longWait);
      await askedAgain(stage.names.length);
      stopped.signal("SIGSTOP");
      const asleep = sleep(60_000);
      const askedByStopped = asked.length;
      await leads(standby);
      // The answer waits for the stopped; the successor asks for itself.
      await askedAgain(askedByStopped);
      release();
      await renewal;
      await stage.untilReady();
      await asleep;
      const before = await traces(stage);
      stopped.signal("SIGCONT");
      await vi.waitFor(async () => expect(await stopped.probe("/readyz")).toBe(200), longWait);
      await vi.waitFor(async () => expect(await stopped.metric("attache_leader")).toBe(0), longWait);
      expect(await standby.metric("attache_leader")).toBe(1);
      expect(await traces(stage)).toEqual(before);
    },
  );
});

describe("of one that is alone", () => {
  it("an API server that is away for longer than the lease costs no leaf and no write", async () => {
    await using own = await startCluster();
    await using stage = await Stage.open(own);
    const attache = await stage.start();
    await stage.untilReady();
    const before = await traces(stage);
    const unchanged = await attache.metric("attache_store_unchanged_total");
    const writes = await attache.metric("attache_store_writes_total");
    await own.apiServer.stop();
    await vi.waitFor(async () => expect(await attache.metric("attache_leader")).toBe(0), longWait);
    await own.apiServer.start();
    // It says that it is ready before all of its kinds are.
    await vi.waitFor(() => traces(stage), longWait);
    await goesOn(stage, attache, before, { unchanged, writes });
  });
});

describe("of two installations in one cluster", () => {
  it("each serves what is its own, and leaves the other's alone", async () => {
    await using stage = await Stage.open();
    const [named, meant] = [`${stage.namespace}-named`, `${stage.namespace}-meant`];
    await stage.create(named, { installation: "edge" });
    await stage.create(meant, { mesh: "signer-edge" });
    await stage.start();
    await stage.start({ installation: "edge", mesh: "signer-edge" });
    await stage.untilReady([...stage.names, meant]);
    // It has no such mesh, and says so in place of the one that has.
    await stage.until("SourceReady", "False/Unknown", named);
    expect(await Promise.all(["attache", "edge"].map((one) => stage.holder(one)))).toEqual([
      expect.any(String),
      expect.any(String),
    ]);
    const touched = await stage.objects();
    const managers = new Map(
      touched.map(({ path, object: { metadata } }) => [
        path,
        (metadata["managedFields"] as { manager: string }[]).map(({ manager }) => manager).join(),
      ]),
    );
    const edges = [...managers].filter(([path]) => path.includes(named) || path.includes(meant));
    expect(edges).toHaveLength(5);
    for (const [path, by] of managers) {
      const isEdges = path.includes(named) || path.includes(meant);
      expect([path, by]).toEqual([path, expect.stringContaining(isEdges ? "/edge" : "/attache")]);
      expect([path, by]).toEqual([path, expect.not.stringContaining(isEdges ? "/attache" : "/edge")]);
    }
  });
});
