import { describe, expect, it, vi } from "vitest";
import { identity } from "../../test/fixtures/identity.ts";
import { createReplicas, type Replicas } from "../../test/fixtures/replicas.ts";

const inOrder = ["Secret/storefront-mesh-ca", "Secret/storefront-mesh-cert", "TLSContext/storefront"];

function isReady({ store }: Replicas): void {
  const status = store.statuses.get("emissary/storefront");
  const of = (type: string) => status?.conditions.find((condition) => condition.type === type)?.status;
  expect([of("Ready"), of("SourceReady")]).toEqual(["True", "True"]);
}

/** Makes the next write wait until the returned function is called. */
function hold({ store }: Replicas) {
  const begun = Promise.withResolvers<undefined>();
  const hang = Promise.withResolvers<undefined>();
  store.beforeWrite = async () => {
    begun.resolve(undefined);
    await hang.promise;
  };
  return { begun: begun.promise, release: () => hang.resolve(undefined) };
}

describe("a replica that waits", () => {
  it("reads the store and does nothing else", async () => {
    await using run = await createReplicas();
    run.store.put(identity());
    const { replica } = run.start();
    await vi.waitFor(() => expect(replica.isSynced).toBe(true));
    expect(replica).toMatchObject({ isRunning: true, isLeader: false, mayWrite: false, reconcilers: [] });
    expect([run.store.writes, run.store.statusWrites, run.mesh.issued]).toEqual([[], 0, 0]);
  });

  it("ends at once when it is aborted", async () => {
    await using run = await createReplicas();
    const waiting = run.start();
    waiting.stop();
    await waiting.done;
    expect(waiting.replica.isRunning).toBe(false);
  });
});

describe("a replica that leads", () => {
  it("works, and its successor finds nothing to ask for and nothing to write", async () => {
    await using run = await createReplicas();
    run.store.put(identity());
    const [first, second] = [run.start(), run.start()];
    first.lead();
    await vi.waitFor(() => isReady(run));
    const { statusWrites } = run.store;
    first.depose();
    await vi.waitFor(() => expect(first.replica.isLeader).toBe(false));
    second.lead();
    await vi.waitFor(() => expect(second.replica.reconcilers[0]?.hasLooked).toBe(true));
    await run.clock.advance(120_000);
    expect(run.store.writes).toEqual(inOrder);
    expect([run.store.statusWrites, run.mesh.issued]).toEqual([statusWrites, 1]);
    await run.mesh.rotate();
    await vi.waitFor(() => expect(run.store.writes.slice(3)).toEqual(["Secret/storefront-mesh-cert"]));
  });

  it("stays in the process when it is deposed, and leads again", async () => {
    await using run = await createReplicas();
    run.store.put(identity());
    const only = run.start();
    for (let term = 0; term < 3; term += 1) {
      only.lead();
      await vi.waitFor(() => expect(only.replica.reconcilers).toHaveLength(1));
      await vi.waitFor(() => isReady(run));
      only.depose();
      await vi.waitFor(() => expect(only.replica.isLeader).toBe(false));
      expect(only.replica).toMatchObject({ isRunning: true, isSynced: true, reconcilers: [] });
    }
    expect(run.mesh.issued).toBe(1);
  });

  it("may write nothing from the moment on that it is deposed", async () => {
    await using run = await createReplicas();
    const { begun, release } = hold(run);
    const leader = run.start();
    leader.lead();
    run.store.put(identity());
    await begun;
    expect(leader.replica.mayWrite).toBe(true);
    leader.depose();
    expect(leader.replica.mayWrite).toBe(false);
    release();
  });

  it("completes what it is writing before it lets another one lead", async () => {
    await using run = await createReplicas();
    const { begun, release } = hold(run);
    const leader = run.start();
    const { returned } = leader.lead();
    run.store.put(identity());
    await begun;
    leader.stop();
    expect(leader.replica.mayWrite).toBe(true);
    release();
    await returned;
    expect(run.store.writes).toEqual(inOrder);
    expect(leader.replica.mayWrite).toBe(false);
  });

  it("lets another one lead after a while when a write does not end", async () => {
    await using run = await createReplicas();
    const { begun, release } = hold(run);
    const leader = run.start();
    const { returned } = leader.lead();
    run.store.put(identity());
    await begun;
    leader.stop();
    await run.clock.sleeping(1);
    await run.clock.advance(1_000);
    await returned;
    expect(leader.replica.mayWrite).toBe(false);
    release();
    await leader.done;
  });

  it("ends for good with a store that cannot be followed any more", async () => {
    await using run = await createReplicas();
    const leader = run.start();
    const { returned } = leader.lead();
    await vi.waitFor(() => expect(leader.replica.isLeader).toBe(true));
    const outcome = leader.done.then(
      () => "ended",
      (error: unknown) => String(error),
    );
    run.store.fail(new Error("the folder is gone"));
    expect(await outcome).toBe("Error: the folder is gone");
    await returned;
  });
});
