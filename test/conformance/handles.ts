import assert from "node:assert/strict";
import { pause } from "./time.ts";

/** What keeps the process alive, by kind: timers, sockets, servers, requests. */
export type Handles = ReadonlyMap<string, number>;

export function openHandles(): Handles {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

/**
 * @throws AssertionError if, after the moment that sockets need to close, there are more of any kind than
 * before.
 */
export async function assertNoneLeft(before: Handles): Promise<void> {
  for (let looksLeft = 40; more(before).length > 0; looksLeft -= 1) {
    assert.ok(looksLeft > 0, `no handle is left open, but there is ${more(before).join(", ")}`);
    await pause();
  }
}

function more(before: Handles): string[] {
  return [...openHandles()].filter(([kind, count]) => count > (before.get(kind) ?? 0)).map(([kind]) => kind);
}
