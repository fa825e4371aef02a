import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { openChannel } from "../../../src/mesh/kit/grpc/channel.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { bundleSecret } from "../development/secrets.ts";
import { startSdsServer } from "../development/sds-server.ts";
import { type DiscoveryResponse, secretDiscoveryService } from "../proto/sds.pb.ts";
import { pauseMs } from "../../../src/mesh/kit/grpc/calls.ts";
import { answerWithinMs, followSecret, type Verdict } from "./secret-stream.ts";

const rubbish = new MeshError("ATTACHE_MESH_MALFORMED", "rubbish");

describe("a stream of one secret", () => {
  it("reads one answer at a time, with a pause between, however many are pushed", async () => {
    await using world = await setUp();
    const { clock, answers } = world.follow(() => ({ accepted: true, owed: undefined }));
    await expect.poll(() => answers.length).toBe(1);
    for (let pushes = 0; pushes < 10; pushes += 1) world.server.pushAgain("ROOTCA");
    await clock.sleeping(1);
    await clock.advance(pauseMs - 1);
    expect(answers).toHaveLength(1);
    await clock.advance(1);
    await expect.poll(() => answers.length).toBe(2);
    expect(clock.sleeps).toEqual([pauseMs]);
  });

  it("ends a minute after the first answer that it refused, also when more rubbish comes", async () => {
    await using world = await setUp();
    const { clock, answers, ended } = world.follow(() => ({ accepted: false, error: rubbish }));
    await expect.poll(() => answers.length).toBe(1);
    await clock.advance(answerWithinMs - 1000);
    world.server.pushAgain("ROOTCA");
    await expect.poll(() => answers.length).toBe(2);
    await clock.advance(pauseMs);
    await clock.advance(1000);
    expect(await ended).toBe(rubbish);
    expect(world.server.refusals).toHaveLength(2);
  });

  it("goes on for any time once a better answer has come", async () => {
    await using world = await setUp();
    const verdicts: Verdict[] = [{ accepted: false, error: rubbish }];
    const { clock, answers } = world.follow(() => verdicts.pop() ?? { accepted: true, owed: undefined });
    await expect.poll(() => answers.length).toBe(1);
    world.server.pushAgain("ROOTCA");
    await clock.advance(pauseMs);
    await expect.poll(() => answers.length).toBe(2);
    await clock.advance(10 * answerWithinMs);
    expect(clock.sleeps).toEqual([]);
    expect(world.server.streams).toBe(1);
  });

  it("ends, and throws a bug in attaché as it is", async () => {
    await using world = await setUp();
    const bug = new TypeError("a bug");
    const { ended } = world.follow(() => {
      throw bug;
    });
    expect(await ended).toBe(bug);
    await expect.poll(() => world.server.streams).toBe(0);
  });

  it("ends when its acknowledgements are not read", async () => {
    const directory = await mkdtemp(join(tmpdir(), "attache-"));
    const socket = join(directory, "agent.sock");
    const server = await startSilentServer(socket);
    const client = openChannel(`unix://${socket}`);
    const clock: Clock = {
      ...systemClock,
      sleep: (ms, signal) => systemClock.sleep(ms === pauseMs ? 0 : ms, signal),
    };
    const { signal } = new AbortController();
    // A long name, which each acknowledgement repeats, fills what the connection buffers.
    const ended = followSecret(client, "x".repeat(50_000), { clock, signal, judge: accept });
    await expect(ended).rejects.toMatchObject({ code: "ATTACHE_MESH_MALFORMED" });
    client.close();
    server.forceShutdown();
    await rm(directory, { recursive: true });
  });
});

const accept = (): Promise<Verdict> => Promise.resolve({ accepted: true, owed: undefined });

async function setUp() {
  const directory = await mkdtemp(join(tmpdir(), "attache-"));
  const socket = join(directory, "agent.sock");
  const server = await startSdsServer({ socket });
  server.set(bundleSecret([]));
  const client = openChannel(`unix://${socket}`);
  const over = new AbortController();
  return {
    server,
    follow(verdict: () => Verdict | Promise<Verdict>) {
      const clock = manualClock();
      const answers: DiscoveryResponse[] = [];
      const judge = async (answer: DiscoveryResponse): Promise<Verdict> => {
        answers.push(answer);
        return verdict();
      };
      const ended = followSecret(client, "ROOTCA", { clock, signal: over.signal, judge }).catch(
        (error: unknown) => error,
      );
      return { clock, answers, ended };
    },
    async [Symbol.asyncDispose]() {
      over.abort(new Error("the test is over"));
      client.close();
      await server[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

/** Pushes without end and reads nothing. */
async function startSilentServer(socket: string): Promise<Server> {
  const server = new Server();
  const service = { StreamSecrets: secretDiscoveryService.streamSecrets };
  const answer: DiscoveryResponse = { versionInfo: "1", resources: [], typeUrl: "", nonce: "n" };
  server.addService(service, {
    StreamSecrets(call: ServerDuplexStream<unknown, DiscoveryResponse>) {
      const push = () => {
        while (call.write(answer));
        call.once("drain", push);
      };
      push();
    },
  });
  await new Promise((resolve) => {
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), resolve);
  });
  return server;
}
