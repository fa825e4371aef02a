import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { createDirectory, type Directory } from "../../../test/fixtures/directory.ts";
import { assertSound, versionOfSet } from "../../../test/fixtures/published-folder.ts";

const publisher = join(import.meta.dirname, "../../../test/fixtures/publisher.ts");

/** A process that publishes in the folder, from version `from` on. */
function startPublisher({ path }: Directory, from: number) {
  const child = spawn(process.execPath, ["--conditions=development", publisher, path, `${from}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let last = 0;
  return {
    /** Resolves once it has published so many versions more; returns the last one. */
    async publishes(count: number): Promise<number> {
      for (let left = count; left > 0; left -= 1) last = Number((await lines.next()).value);
      return last;
    },
    async kill(): Promise<void> {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

describe("a process that is killed", { tags: ["thorough"] }, () => {
  it("leaves what it has published sound, loses nothing, and lets the next one go on", async () => {
    await using directory = await createDirectory();
    let published = 0;
    for (const versions of [1, 2, 5]) {
      const process = startPublisher(directory, published + 1);
      published = await process.publishes(versions);
      await expect(directory.open()).rejects.toMatchObject({
        code: "ATTACHE_STORE_LOCKED",
        message: expect.stringContaining(directory.path) as string,
      });
      await process.kill();
      await assertSound(directory.path);
      const version = Number(await versionOfSet(join(directory.path, "emissary/pem-storefront")));
      expect(version).toBeGreaterThanOrEqual(published);
      published = version;
    }
    await using _ = await directory.open();
  });
});

describe("a folder that another store of the same process has", () => {
  it("is refused, and free again once that one is closed", async () => {
    await using directory = await createDirectory();
    const first = await directory.open();
    await expect(directory.open()).rejects.toMatchObject({ code: "ATTACHE_STORE_LOCKED" });
    await first[Symbol.asyncDispose]();
    await using _ = await directory.open();
  });
});
