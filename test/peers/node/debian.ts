import { execFile } from "node:child_process";
import { access, readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { kept } from "../build.ts";

const execute = promisify(execFile);

/** Programs that a node and its images need beside those that Go builds, and Debian's packages with them. */
const packages = {
  buildah: "buildah",
  mmdebstrap: "mmdebstrap",
  nft: "nftables",
  runc: "runc",
  ip: "iproute2",
} as const;

/** Installs what of {@link packages} is missing. @throws Error if apt-get cannot. */
export async function installPackages(): Promise<void> {
  const wanted: string[] = [];
  for (const [program, name] of Object.entries(packages)) if (!(await isOnPath(program))) wanted.push(name);
  if (wanted.length === 0) return;
  process.stderr.write(`Installing ${wanted.join(", ")}.\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await execute("apt-get", ["update"], { env });
  await execute("apt-get", ["install", "--yes", "--no-install-recommends", ...wanted], { env });
}

/** Of root file systems: what the build of an image needs, and what Node and SPIRE need when they run. */
const contents = {
  "build.tar": ["base-files", "coreutils", "dash", "libc6", "libstdc++6"],
  "base.tar": ["base-files", "libc6", "libstdc++6"],
} as const;

/** The folder with an archive for each of {@link contents}, of the Debian that runs here. */
export async function rootFileSystems(): Promise<string> {
  const release = await readFile("/etc/os-release", "utf8");
  const [, suite = "stable"] = /^VERSION_CODENAME=(\w+)$/m.exec(release) ?? [];
  const name = ["node-root", suite, process.arch, ...Object.values(contents).flat()].join("-");
  return kept(name, "20 seconds", async (folder) => {
    for (const [file, packages] of Object.entries(contents)) {
      // No script of a package runs, so none of those that only scripts need is there.
      const args = ["--mode=root", "--quiet", "--variant=extract", `--include=${packages.join(",")}`];
      await execute("mmdebstrap", [...args, suite, join(folder, file)]);
    }
  });
}

async function isOnPath(program: string): Promise<boolean> {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const found = await Promise.allSettled(folders.map((folder) => access(join(folder, program))));
  return found.some(({ status }) => status === "fulfilled");
}
