import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { asUnprivileged } from "../../../test/fixtures/as-unprivileged.ts";
import { agentSource, firstOf } from "./agent.ts";

describe("the agent's socket, where none is configured", () => {
  it("is the first that exists, and the newer one while there is none", async () => {
    const folder = await temporaryFolder();
    const paths = [join(folder, "newer"), join(folder, "older")] as const;
    expect(await firstOf(paths)).toBe(paths[0]);
    await writeFile(paths[1], "");
    expect(await firstOf(paths)).toBe(paths[1]);
    await writeFile(paths[0], "");
    expect(await firstOf(paths)).toBe(paths[0]);
  });
});

describe("a socket that attaché's user may not use", () => {
  it("is distinguished from one that does not exist, with a remedy", async () => {
    const socket = join(await temporaryFolder(), "agent.sock");
    const server = createServer().listen(socket);
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const checks = await asUnprivileged(() => agentSource(socket, systemClock).check());
    expect(checks).toEqual([
      {
        name: "agent socket",
        status: "failed",
        message: `attaché may not connect to ${socket}`,
        remedy: expect.stringMatching(
          /^Let user \d+ write to the socket and enter its folders; the Istio agent makes it with mode 0666/,
        ) as string,
      },
    ]);
  });
});

/** Of its owner alone. */
async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "attache-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}
