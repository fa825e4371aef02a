import { Server, type ServerWritableStream, type ServerUnaryCall } from "@grpc/grpc-js";
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { listen, shutDown } from "../../development/server.ts";
import { manualClock } from "../../../../test/fixtures/clock.ts";
import { connectCAService, type WatchRootsResponse } from "../../../../adapters/consul/proto/connectca.pb.ts";
import { type CallOptions, callStream, callUnary } from "./calls.ts";
import { openServerChannel } from "../../../../adapters/consul/grpc/channel.ts";

type Stream = ServerWritableStream<object, WatchRootsResponse>;

const { sign, watchRoots } = connectCAService;
const answer = { activeRootId: "", trustDomain: "11.consul", roots: [] };

let server: Server;
let port: number;
let tokens: unknown[];
let onStream: (stream: Stream) => void;

beforeAll(async () => {
  server = new Server();
  server.addService(connectCAService, {
    watchRoots: (stream: Stream) => onStream(stream),
    // Never answers.
    sign: ({ metadata }: ServerUnaryCall<object, object>) => tokens.push(...metadata.get("x-consul-token")),
  });
  tokens = [];
  port = await listen(server, "127.0.0.1:0");
});

afterAll(() => shutDown(server));

describe("a call to a server", () => {
  it("carries the token, and is given up when its time is over", async () => {
    const { client, clock, options } = setUp();
    const asking = callUnary(
      client,
      sign,
      { csr: "csr" },
      { ...options, metadata: { "x-consul-token": "secret" } },
    );
    asking.catch(() => undefined);
    await expect.poll(() => tokens).toEqual(["secret"]);
    await clock.advance(options.withinMs);
    await expect(asking).rejects.toMatchObject({
      code: "ATTACHE_MESH_TIMEOUT",
      problem: "the server did not answer in 1 s",
    });
    expect(clock.sleeps).toEqual([]);
    client.close();
  });

  it("is given up at once when the caller aborts, with the caller's reason", async () => {
    const { client, clock, options } = setUp();
    const over = new AbortController();
    const asking = callUnary(client, sign, { csr: "csr" }, { ...options, signal: over.signal });
    over.abort(new Error("over"));
    await expect(asking).rejects.toThrow("over");
    await expect(
      callUnary(client, sign, { csr: "csr" }, { ...options, signal: over.signal }),
    ).rejects.toThrow("over");
    expect(clock.sleeps).toEqual([]);
    client.close();
  });
});

describe("a stream of a server", () => {
  it("has no limit on time behind its first answer, and ends with an error when the server ends it", async () => {
    const { client, clock, options } = setUp();
    const streams: Stream[] = [];
    onStream = (stream) => {
      streams.push(stream);
      stream.write(answer);
    };
    const answers = callStream(client, watchRoots, {}, { ...options, pauseMs: 10 });
    expect(await answers.next()).toEqual({ done: false, value: answer });
    const second = answers.next();
    await clock.advance(3_600_000);
    streams[0]?.write({ ...answer, trustDomain: "22.consul" });
    expect((await second).value).toMatchObject({ trustDomain: "22.consul" });
    const end = answers.next();
    end.catch(() => undefined);
    streams[0]?.end();
    await clock.advance(10);
    await expect(end).rejects.toMatchObject({ code: "ATTACHE_MESH_UNAVAILABLE" });
    client.close();
  });

  it("is given up when nothing comes", async () => {
    const { client, clock, options } = setUp();
    onStream = () => undefined;
    const first = callStream(client, watchRoots, {}, { ...options, pauseMs: 10 }).next();
    first.catch(() => undefined);
    await clock.advance(options.withinMs);
    await expect(first).rejects.toMatchObject({ code: "ATTACHE_MESH_TIMEOUT" });
    client.close();
  });

  it("is not read faster than its pause, however much the server sends", async () => {
    const { client, clock, options } = setUp();
    let sent = 0;
    onStream = (stream) => {
      const flood = () => {
        while (!stream.destroyed && stream.write({ ...answer, trustDomain: "x".repeat(10_000) })) sent += 1;
      };
      stream.on("drain", flood);
      flood();
    };
    let read = 0;
    const over = new AbortController();
    const reading = (async () => {
      const bounds = { ...options, signal: over.signal, pauseMs: 250 };
      for await (const _answer of callStream(client, watchRoots, {}, bounds)) read += 1;
    })();
    // Until the window of HTTP/2 is full, and the server waits.
    await vi.waitFor(async () => {
      const before = sent;
      await turns(20);
      expect({ read, more: sent - before }).toEqual({ read: 1, more: 0 });
    });
    const full = sent;
    await turns(200);
    expect(sent - full).toBeLessThan(20);
    await clock.advance(1000);
    await vi.waitFor(() => expect(read).toBeGreaterThan(1));
    expect(read).toBeLessThan(10);
    over.abort(new Error("over"));
    await expect(reading).rejects.toThrow("over");
    client.close();
  });
});

/** Lets the event loop turn so many times. */
async function turns(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) await setImmediate();
}

function setUp() {
  const clock = manualClock();
  const client = openServerChannel({ host: "127.0.0.1", port, name: undefined, isStandIn: false }, undefined);
  const options: CallOptions = {
    peer: "the server",
    withinMs: 1000,
    clock,
    signal: new AbortController().signal,
  };
  return { clock, client, options };
}
