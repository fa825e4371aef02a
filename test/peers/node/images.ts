import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, glob, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildPeer, kept } from "../build.ts";
import { type ArchivedImage, writeArchive } from "./archive.ts";
import { rootFileSystems } from "./debian.ts";

const execute = promisify(execFile);
const repository = join(import.meta.dirname, "../../..");

/** What deploy/Dockerfile reads: the image is built again when one of these changes. */
const sources = [
  ".dockerignore",
  ".npmrc",
  "LICENSE",
  "package*.json",
  "tsconfig*.json",
  "{src,adapters,deploy}/**",
  "test/{conformance,fixtures}/**",
  // And how it is built.
  "test/peers/node/{archive,debian,images}.ts",
];

/** Archives of the images of pods: of every node's own, and of the meshes from the programs that the peers run. */
const images = {
  pause: async () => ({
    name: "registry.k8s.io/pause:3.10.1",
    files: { "/": [join(await buildPeer("node/system"), "pause")] },
    entrypoint: ["/pause"],
  }),
  coredns: async () => ({
    name: "docker.io/coredns/coredns:test",
    files: { "/": [join(await buildPeer("node/system"), "coredns")] },
    entrypoint: ["/coredns"],
  }),
  consul: async () => ({
    name: "docker.io/hashicorp/consul:test",
    files: { "/bin": [join(await buildPeer("consul"), "consul")] },
    entrypoint: ["/bin/consul"],
  }),
  istiod: async () => ({
    name: "docker.io/istio/pilot:test",
    files: { "/usr/local/bin": [join(await buildPeer("istio"), "pilot-discovery")] },
    entrypoint: ["/usr/local/bin/pilot-discovery"],
  }),
  proxy: async () => ({
    name: "docker.io/istio/proxyv2:test",
    // In place of Envoy a program that only waits.
    files: {
      "/usr/local/bin": [
        join(await buildPeer("istio"), "pilot-agent"),
        join(await buildPeer("node/system"), "pause"),
      ],
    },
    entrypoint: ["/usr/local/bin/pilot-agent"],
  }),
  spire: async () => {
    const programs = await buildPeer("spire");
    return {
      name: "docker.io/spiffe/spire:test",
      // Its sqlite3 needs the C library.
      layers: [join(await rootFileSystems(), "base.tar")],
      files: { "/opt/spire/bin": ["spire-server", "spire-agent"].map((name) => join(programs, name)) },
    };
  },
} satisfies Record<string, () => Promise<ArchivedImage>>;

export type ImageName = keyof typeof images;

/** Writes the archive of an image. */
export async function archiveImage(name: ImageName, archive: string): Promise<void> {
  await writeArchive(archive, await images[name]());
}

/** The name of attaché's image, with registry and tag. */
export async function attacheName(): Promise<string> {
  const manifest = await readFile(join(repository, "package.json"), "utf8");
  return `docker.io/library/attache:${(JSON.parse(manifest) as { version: string }).version}`;
}

/** The archive of attaché's image, which the repository's own Dockerfile makes from bases of Debian's packages. */
export async function attacheImage(): Promise<string> {
  const folder = await kept(`node-image-${await fingerprint()}`, "2 minutes", (unfinished) =>
    buildAttache(join(unfinished, "attache.tar")),
  );
  return join(folder, "attache.tar");
}

/** Builds it without a cache. */
export async function buildAttache(archive: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "attache-buildah-"));
  try {
    await writeBases(work);
    const name = await attacheName();
    const mounts = await npmMounts(work);
    const options = [
      "--isolation",
      "chroot",
      "--pull-never",
      // Of all files and of the image.
      "--timestamp=0",
      "--build-arg",
      "BUILD=localhost/build",
      "--build-arg",
      "BASE=localhost/base",
    ];
    const steps = [
      ["pull", "--quiet", `docker-archive:${work}/build.tar`],
      ["pull", "--quiet", `docker-archive:${work}/base.tar`],
      ["bud", ...options, ...mounts, "-f", "deploy/Dockerfile", "-t", name, "."],
      ["push", "--quiet", name, `docker-archive:${archive}:${name}`],
    ];
    const buildah = ["buildah", "--root", `${work}/storage`, "--runroot", `${work}/run`];
    const script = steps.map((step) => [...buildah, ...step].map(quoted).join(" ")).join("\n");
    // Its mounts go with the namespace.
    await execute("unshare", ["--mount", "--propagation", "private", "bash", "-euc", script], {
      cwd: repository,
      env: { ...process.env, TMPDIR: work },
      maxBuffer: 2 ** 26,
    });
  } finally {
    await rm(work, { recursive: true });
  }
}

/** In place of node:24-slim and of the base that distroless makes: Debian's packages with the project's own Node, and the npm of this machine. */
async function writeBases(work: string): Promise<void> {
  const root = await rootFileSystems();
  const npm = join(work, "npm");
  await writeFile(npm, '#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n');
  await chmod(npm, 0o755);
  const users = join(work, "passwd");
  await writeFile(users, "root:x:0:0:root:/root:/bin/sh\n");
  const { stdout: modules } = await execute("npm", ["root", "--global"]);
  await writeArchive(join(work, "build.tar"), {
    name: "localhost/build:latest",
    layers: [join(root, "build.tar")],
    files: {
      "/etc": [users],
      "/usr/local/bin": [join(repository, "node_modules/node/bin/node"), npm],
      "/usr/local/lib/node_modules": [join(modules.trim(), "npm")],
    },
  });
  await writeArchive(join(work, "base.tar"), {
    name: "localhost/base:latest",
    layers: [join(root, "base.tar")],
  });
}

/** npm in the build asks the registry that npm asks here, and finds here what that has fetched. */
async function npmMounts(work: string): Promise<string[]> {
  const setting = async (name: string) => (await execute("npm", ["config", "get", name])).stdout.trim();
  const [registry, cache, cafile] = await Promise.all(["registry", "cache", "cafile"].map(setting));
  const isSet = cafile !== undefined && cafile !== "null" && cafile !== "";
  const file = join(work, "npmrc");
  await writeFile(
    file,
    [`registry=${registry}`, "prefer-offline=true", ...(isSet ? [`cafile=${cafile}`] : [])].join("\n"),
  );
  const mounts = [
    `${cache}:/root/.npm`,
    `${file}:/root/.npmrc:ro`,
    ...(isSet ? [`${cafile}:${cafile}:ro`] : []),
  ];
  return mounts.flatMap((mount) => ["--volume", mount]);
}

async function fingerprint(): Promise<string> {
  const files = await Array.fromAsync(glob(sources, { cwd: repository, exclude: ["**/*.test.ts"] }));
  const hash = createHash("sha256");
  for (const file of files.toSorted()) {
    const path = join(repository, file);
    if ((await stat(path)).isFile()) hash.update(`${file}\0`).update(await readFile(path));
  }
  return hash.digest("hex").slice(0, 16);
}

/** As a shell reads it. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
