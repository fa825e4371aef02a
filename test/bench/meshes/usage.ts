import { readdir, readFile, readlink } from "node:fs/promises";

/** What a process takes of the machine, as Linux counts it. */
export interface Usage {
  readonly rssMb: number;
  /** The most since its start. */
  readonly peakMb: number;
  /** Since its start, in milliseconds; Linux counts in steps of ten. */
  readonly cpuMs: number;
}

/** The process that has `argument` among its own. @throws Error if there is none. */
export async function processWith(argument: string): Promise<number> {
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const line = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    const args = line.split("\0");
    // Its guard has the same arguments.
    if (args.includes(argument) && !args.some((one) => one.endsWith("guard.ts"))) return Number(name);
  }
  throw new Error(`no process has the argument ${argument}`);
}

export async function usageOf(pid: number): Promise<Usage> {
  const [status, stat] = await Promise.all(
    ["status", "stat"].map((file) => readFile(`/proc/${pid}/${file}`, "utf8")),
  );
  // proc(5): behind the name in parentheses, utime and stime are the 12th and 13th field.
  const fields = (stat ?? "").replace(/^.*\) /s, "").split(" ");
  const megabytes = (name: string) =>
    (Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status ?? "")?.[1]) * 1_024) / 1e6;
  return {
    rssMb: megabytes("VmRSS"),
    peakMb: megabytes("VmHWM"),
    cpuMs: (Number(fields[11]) + Number(fields[12])) * 10,
  };
}

/** How many TCP connections a process has open to a port of 127.0.0.1. */
export async function connectionsTo(port: number, pid: number): Promise<number> {
  const [table, names] = await Promise.all([readFile("/proc/net/tcp", "utf8"), readdir(`/proc/${pid}/fd`)]);
  const targets = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => "")));
  const open = new Set(targets.map((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1]));
  const far = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = table.split("\n").map((row) => row.trim().split(/\s+/));
  return rows.filter(([, , remote, , , , , , , inode]) => remote === far && open.has(inode)).length;
}

/** When a process was started, in milliseconds since 1970, to a hundredth of a second. */
export async function startedAt(pid: number): Promise<number> {
  const [stat, uptime] = await Promise.all([
    readFile(`/proc/${pid}/stat`, "utf8"),
    readFile("/proc/uptime", "utf8"),
  ]);
  const sinceBootMs = Number(stat.replace(/^.*\) /s, "").split(" ")[19]) * 10;
  return Date.now() - Number(uptime.split(" ")[0]) * 1_000 + sinceBootMs;
}
