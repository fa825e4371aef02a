import type { Credential } from "../credentials/credential.ts";

/** What a publication brought: the first credential, a new leaf, other roots, or both. */
export type RotationCause = "initial" | "leaf" | "root" | "both";

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
