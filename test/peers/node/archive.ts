import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);

export interface ArchivedImage {
  /** With registry and tag. */
  readonly name: string;
  /** Archives of files, the lowest first. */
  readonly layers?: readonly string[];
  /** Files of this machine that are put into folders of the image, above the layers. */
  readonly files?: Readonly<Record<string, readonly string[]>>;
  readonly entrypoint?: readonly string[];
}

/** Writes an image as `docker save` does, which containerd and buildah read. */
export async function writeArchive(archive: string, image: ArchivedImage): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "attache-image-"));
  try {
    const layers = [...(image.layers ?? [])];
    if (image.files !== undefined) layers.push(await layerOf(folder, image.files));
    const digests = await Promise.all(layers.map(sha256));
    const names = digests.map((digest) => `${digest}.tar`);
    for (const [index, layer] of layers.entries()) await symlink(layer, join(folder, names[index] ?? ""));
    const config = {
      architecture: { x64: "amd64" }[process.arch as string] ?? process.arch,
      os: "linux",
      config: {
        Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        Entrypoint: image.entrypoint,
      },
      rootfs: { type: "layers", diff_ids: digests.map((digest) => `sha256:${digest}`) },
    };
    await writeFile(join(folder, "config.json"), JSON.stringify(config));
    const manifest = [{ Config: "config.json", RepoTags: [image.name], Layers: names }];
    await writeFile(join(folder, "manifest.json"), JSON.stringify(manifest));
    await execute("tar", ["-chf", archive, "-C", folder, "manifest.json", "config.json", ...names]);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function layerOf(folder: string, files: Readonly<Record<string, readonly string[]>>): Promise<string> {
  const [tree, layer] = [join(folder, "tree"), join(folder, "layer.tar")];
  for (const [place, sources] of Object.entries(files)) {
    await mkdir(join(tree, place), { recursive: true });
    for (const source of sources) await symlink(source, join(tree, place, basename(source)));
  }
  await execute("tar", ["-chf", layer, "--owner=0", "--group=0", "--numeric-owner", "-C", tree, "."]);
  return layer;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
