import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { attacheImage, buildAttache } from "./images.ts";
import { skipped } from "./requirements.ts";

const execute = promisify(execFile);

interface Manifest {
  /** Named by the digest of the image's configuration. */
  readonly Config: string;
  /** Named by their digests, that of the base first. */
  readonly Layers: readonly string[];
}

describe.skipIf(skipped !== undefined)(
  `attaché's image${skipped === undefined ? "" : ` (skipped: ${skipped})`}`,
  () => {
    it("is the same to the last bit when it is built again", { timeout: 400_000 }, async () => {
      const folder = await mkdtemp(join(tmpdir(), "attache-again-"));
      onTestFinished(() => rm(folder, { recursive: true }));
      const again = join(folder, "attache.tar");
      await buildAttache(again);
      expect(await manifestOf(again)).toEqual(await manifestOf(await attacheImage()));
    });

    it("adds at most 60 MB to its base beside Node, and no shell and no npm", async () => {
      const image = await attacheImage();
      const { Layers: layers } = await manifestOf(image);
      const { stdout } = await execute("bash", [
        "-euo",
        "pipefail",
        "-c",
        listed,
        "bash",
        image,
        layers.at(-1) ?? "",
      ]);
      const files = stdout
        .trim()
        .split("\n")
        .map((line) => {
          const [, , size = "", , , name = ""] = line.split(/\s+/);
          return { name, size: Number(size) };
        });
      const names = files.map(({ name }) => name);
      expect(names).toEqual(expect.arrayContaining(["usr/local/bin/node", "attache/dist/main.js"]));
      expect(names.filter((name) => /(^|\/)(npm|npx|sh|bash)$/.test(name))).toEqual([]);
      const added = files.filter(({ name }) => name !== "usr/local/bin/node");
      expect(added.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(60e6);
    });
  },
);

async function manifestOf(archive: string): Promise<Manifest> {
  const { stdout } = await execute("tar", ["-xOf", archive, "manifest.json"]);
  const [manifest] = JSON.parse(stdout) as [Manifest];
  return manifest;
}

/** Lists a layer of an archive. */
const listed = 'tar -xOf "$1" "$2" | tar -tvf -';
