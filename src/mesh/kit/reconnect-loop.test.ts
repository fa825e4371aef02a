import { describe, expect, it } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import type { ConnectionState } from "../port.ts";
import { MeshError } from "../errors.ts";
import { KeptConnection, ReconnectLoop } from "./reconnect-loop.ts";
import { unlessAborted } from "../../runtime/abort.ts";

const away = new MeshError("ATTACHE_MESH_UNREACHABLE", "connection refused");

describe("a connection that is kept", () => {
  it("is made again after each end, and reported when it is there and when it is not", async () => {
    await using world = setUp();
    world.connection.keep();
    world.connection.keep();
    expect(world.calls).toHaveLength(1);
    world.connection.markConnected();
    world.connection.markConnected();
    world.end(away);
    await world.clock.sleeping(1);
    expect(world.states).toEqual([{ connected: true }, { connected: false, error: away }]);
    await world.clock.advance(30_000);
    expect(world.calls).toHaveLength(2);
  });

  it("is not there while what comes of it is of no use", async () => {
    await using world = setUp();
    world.connection.keep();
    world.connection.markDisconnected(away);
    world.connection.markConnected();
    expect(world.states).toEqual([{ connected: false, error: away }, { connected: true }]);
    expect(world.calls).toHaveLength(1);
  });

  it("waits longer from failure to failure, and begins again with short pauses after a success", async () => {
    await using world = setUp({ capMs: 4_000 });
    world.connection.keep();
    const pauses: number[] = [];
    for (let failures = 1; failures <= 5; failures += 1) {
      if (failures === 5) world.connection.markConnected();
      world.end(away);
      await world.clock.sleeping(1);
      pauses.push(world.clock.sleeps[0] ?? 0);
      await world.clock.advance(4_000);
    }
    // Without jitter they are 500, 1000, 2000, 4000 and then 500 ms.
    expect(pauses.map((ms, index) => ms <= ([500, 1_000, 2_000, 4_000, 500][index] ?? 0))).not.toContain(
      false,
    );
    expect(Math.max(...pauses)).toBeGreaterThan(500);
  });

  it("waits longer from failure to failure also where each connection ends too soon to count", async () => {
    await using world = setUp({ capMs: 4_000 }, 5_000);
    world.connection.keep();
    const pauses: number[] = [];
    for (const lastsMs of [0, 4_999, 4_999, 5_000]) {
      world.connection.markConnected();
      await world.clock.advance(lastsMs);
      world.end(away);
      await world.clock.sleeping(1);
      pauses.push(world.clock.sleeps[0] ?? 0);
      await world.clock.advance(4_000);
    }
    expect(pauses.map((ms, index) => ms <= ([500, 1_000, 2_000, 500][index] ?? 0))).not.toContain(false);
    expect(Math.max(...pauses)).toBeGreaterThan(500);
  });

  it("hands on a bug, and begins again when it is asked to", async () => {
    await using world = setUp();
    const bug = new TypeError("a bug");
    world.connection.keep();
    world.end(bug);
    await expect.poll(() => world.ended).toEqual([bug]);
    expect(world.states).toEqual([]);
    world.connection.keep();
    expect(world.calls).toHaveLength(2);
  });

  it("ends with its disposal, in a pause as well", async () => {
    const world = setUp();
    world.connection.keep();
    world.end(away);
    await world.clock.sleeping(1);
    await world[Symbol.asyncDispose]();
    expect(world.clock.sleeps).toEqual([]);
    expect(world.ended).toMatchObject([{ problem: 'the mesh "spiffe" was disconnected' }]);
    expect(world.connection.signal.aborted).toBe(true);
  });
});

it("is used under its former names by plug-ins that were built for version 0.1.0", () => {
  const states: ConnectionState[] = [];
  const context = {
    name: "old",
    clock: manualClock(),
    connection: (state: ConnectionState) => states.push(state),
  };
  const connect = () => Promise.withResolvers<never>().promise;
  const connection = new KeptConnection({ context, connect, ended: () => undefined });
  connection.isThere();
  connection.isAway(away);
  expect(states).toEqual([{ connected: true }, { connected: false, error: away }]);
});

function setUp(backoff = {}, soundAfterMs = 0) {
  const clock = manualClock();
  const states: ConnectionState[] = [];
  const ended: unknown[] = [];
  const calls: PromiseWithResolvers<never>[] = [];
  const connection = new ReconnectLoop({
    context: { name: "spiffe", clock, connection: (state) => states.push(state) },
    connect(signal) {
      const call = Promise.withResolvers<never>();
      calls.push(call);
      return unlessAborted(call.promise, signal);
    },
    ended: (error) => ended.push(error),
    backoff,
    soundAfterMs,
  });
  return {
    clock,
    states,
    ended,
    calls,
    connection,
    end: (error: Error) => calls.at(-1)?.reject(error),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}
