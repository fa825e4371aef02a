import { lstat, readFile, readlink } from "node:fs/promises";
import { join, resolve, sep } from "node:path";

/** What is looked at of a path; `lstat` shows a symlink as itself, and nothing where nothing is. */
export interface PathFiles {
  lstat(path: string): Promise<PathFacts | undefined>;
  readlink(path: string): Promise<string>;
}

interface PathFacts {
  readonly kind: "file" | "folder" | "link" | "other";
  /** The permission bits. */
  readonly mode: number;
  readonly uid: number;
}

/** Why a path is not trusted. */
export interface Distrust {
  /** Names the path, and its mode or owner. */
  readonly problem: string;
  /** The command that mends it. */
  readonly remedy: string;
}

interface Options {
  readonly files?: PathFiles;
  /** The folder of it that was checked already; all folders up to the root are checked by default. */
  readonly within?: string;
  /** Whether a mount point that all may write to is fine: an `emptyDir`, whose writers are one pod. */
  readonly sharesMounts?: boolean;
  /** The text of `/proc/self/mountinfo`. */
  readonly mounts?: () => Promise<string>;
  /** The user that the process runs as. */
  readonly user?: number | undefined;
}

/** Enough for every honest path. */
const maxLinks = 40;

/**
 * Why others may change what is read at `path`, as sshd asks it of its files: each folder on the way, each link
 * and what it leads to must belong to root or to the user of the process, and others may not write to it. In a
 * sticky folder (`/tmp`) others can replace only what is theirs; what is mounted read-only cannot be changed.
 * `undefined` if others cannot change it, and where nothing is.
 */
export async function distrusted(
  path: string,
  { files = nodeFiles, within, sharesMounts, mounts = readMounts, user = process.geteuid?.() }: Options = {},
): Promise<Distrust | undefined> {
  if (user === undefined) return undefined;
  const absolute = resolve(path);
  let folder = within ?? sep;
  let rest = within === undefined ? ["", ...parts(absolute)] : parts(absolute.slice(within.length));
  for (let links = 0; links <= maxLinks;) {
    const [name, ...others] = rest;
    if (name === undefined) return undefined;
    const at = join(folder, name);
    const facts = await files.lstat(at);
    if (facts === undefined) return undefined;
    const distrust = distrustOf(at, facts, user);
    if (distrust !== undefined) {
      const mount = mountOf(at, await mounts());
      const isShared = sharesMounts === true && mount?.place === at && facts.uid === 0;
      if (mount?.isReadOnly !== true && !isShared) return distrust;
    }
    rest = others;
    if (facts.kind === "link") {
      const target = await files.readlink(at);
      if (target.startsWith(sep)) folder = sep;
      rest = [...parts(target), ...others];
      links += 1;
    } else {
      folder = at;
    }
  }
  return { problem: `${path} leads through more than ${maxLinks} links`, remedy: "Name the file itself." };
}

function distrustOf(path: string, { kind, mode, uid }: PathFacts, user: number): Distrust | undefined {
  if (uid !== 0 && uid !== user) {
    return {
      problem: `${path} belongs to the user ${uid}, who may change it`,
      remedy: `Run \`chown ${user} ${path}\`, or mount it read-only.`,
    };
  }
  const isSticky = kind === "folder" && (mode & 0o1000) !== 0;
  if (kind === "link" || isSticky || (mode & 0o022) === 0) return undefined;
  return {
    problem: `others may write to ${path} (mode ${mode.toString(8)})`,
    remedy: `Run \`chmod go-w ${path}\`, or mount it read-only.`,
  };
}

function parts(path: string): string[] {
  return path.split(sep).filter((part) => part !== "" && part !== ".");
}

/** The mount that it is in: the innermost, and of several at one place the last. */
function mountOf(path: string, mounts: string): { place: string; isReadOnly: boolean } | undefined {
  let innermost: { place: string; isReadOnly: boolean } | undefined;
  for (const line of mounts.split("\n")) {
    const [, , , , point = "", options = "", ...more] = line.split(" ");
    const place = point.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8)));
    const isAround = place === path || path.startsWith(place === sep ? sep : `${place}${sep}`);
    if (place === "" || !isAround || place.length < (innermost?.place.length ?? 0)) continue;
    const isReadOnly = [options, more.at(-1) ?? ""].some((list) => list.split(",").includes("ro"));
    innermost = { place, isReadOnly };
  }
  return innermost;
}

/** Only Linux has it; elsewhere nothing counts as read-only. */
function readMounts(): Promise<string> {
  return readFile("/proc/self/mountinfo", "utf8").catch(() => "");
}

const nodeFiles: PathFiles = {
  async lstat(path) {
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined) return undefined;
    const kind = stats.isDirectory() ? "folder" : stats.isSymbolicLink() ? "link" : "file";
    return { kind, mode: stats.mode & 0o7777, uid: stats.uid };
  },
  readlink: (path) => readlink(path),
};
