import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { FileSet, Seen } from "./reader.ts";

/** Reads sets of files in a process of its own, as fast as it can. */
export interface Onlooker extends AsyncDisposable {
  /** All that was seen of one set, the oldest first. */
  of(set: string): readonly Seen[];
  /**
   * The first whole set, seen after `since` of them, that `wanted` accepts. @throws Error if none comes in a
   * minute.
   */
  until(set: string, since: number, wanted: (seen: Seen) => boolean): Promise<Seen>;
}

const deadlineMs = 60_000;

export function lookOn(sets: readonly FileSet[]): Onlooker {
  const child = spawn(process.execPath, [join(import.meta.dirname, "reader.ts"), JSON.stringify(sets)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.once("exit", () => child.kill());
  const seen: Seen[] = [];
  const wakers = new Set<() => void>();
  createInterface(child.stdout).on("line", (line) => {
    seen.push(JSON.parse(line) as Seen);
    for (const wake of wakers) wake();
  });
  const of = (set: string) => seen.filter((one) => one.set === set);
  return {
    of,
    until: (set, since, wanted) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          wakers.delete(look);
          reject(new Error(`${set} did not come; last: ${JSON.stringify(of(set).at(-1))}`));
        }, deadlineMs);
        const look = () => {
          const found = of(set)
            .slice(since)
            .find((one) => one.torn === undefined && wanted(one));
          if (found === undefined) return;
          clearTimeout(timer);
          wakers.delete(look);
          resolve(found);
        };
        wakers.add(look);
        look();
      }),
    async [Symbol.asyncDispose]() {
      const closed = once(child, "close");
      child.kill();
      await closed;
    },
  };
}
