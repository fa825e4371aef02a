import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { trySocket } from "./unix-socket.ts";

const remedies = {
  missing: "Mount its volume.",
  idle: "Start the agent.",
  mode: "the agent makes it with mode 0666",
};

describe("an agent's socket", () => {
  it("can be connected to when a server listens", async () => {
    await using world = await setUp();
    await world.listen();
    expect(await trySocket(world.path, remedies)).toBeUndefined();
  });

  it("is not there, which the volume mends", async () => {
    await using world = await setUp();
    expect(await trySocket(world.path, remedies)).toMatchObject({
      code: "ATTACHE_MESH_UNREACHABLE",
      problem: `there is no socket at ${world.path}`,
      remedy: remedies.missing,
    });
  });

  it("is left over from an agent that has ended", async () => {
    await using world = await setUp();
    await writeFile(world.path, "");
    expect(await trySocket(world.path, remedies)).toMatchObject({
      code: "ATTACHE_MESH_UNREACHABLE",
      problem: `no process listens on ${world.path}`,
      remedy: remedies.idle,
    });
  });

  // To root every file is open.
  it.skipIf(process.getuid?.() === 0)("may be closed to attaché's user", async () => {
    await using world = await setUp();
    await world.listen();
    await chmod(world.path, 0o000);
    expect(await trySocket(world.path, remedies)).toMatchObject({
      code: "ATTACHE_MESH_UNREACHABLE",
      problem: `attaché may not connect to ${world.path}`,
      remedy: expect.stringContaining(`user ${process.getuid?.()}`) as string,
    });
  });
});

async function setUp() {
  const directory = await mkdtemp(join(tmpdir(), "attache-"));
  const path = join(directory, "agent.sock");
  const server = createServer((socket) => socket.destroy());
  return {
    path,
    async listen() {
      await once(server.listen(path), "listening");
    },
    async [Symbol.asyncDispose]() {
      server.close();
      await rm(directory, { recursive: true });
    },
  };
}
