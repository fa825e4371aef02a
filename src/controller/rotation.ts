import type { Credential } from "../credentials/credential.ts";
import type { RotationCause } from "../telemetry/counters.ts";

/** How `after` differs from what was published before; nothing when it is the same credential again. */
export function rotationCause(before: Credential | undefined, after: Credential): RotationCause | undefined {
  if (before === undefined) return "initial";
  const isLeafNew = before.chain[0].fingerprint !== after.chain[0].fingerprint;
  const areRootsNew = rootsOf(before) !== rootsOf(after);
  if (isLeafNew && areRootsNew) return "both";
  if (isLeafNew) return "leaf";
  return areRootsNew ? "root" : undefined;
}

function rootsOf({ bundle }: Credential): string {
  return bundle
    .map(({ fingerprint }) => fingerprint)
    .toSorted()
    .join();
}
