import { hash } from "node:crypto";

/** The SHA-256 of what a value says, however its keys are ordered, shortened to 128 bits: to tell, not to prove. */
export function digestOf(value: unknown): string {
  const digest = hash("sha256", JSON.stringify(value, withSortedKeys), "buffer");
  return digest.toString("base64url", 0, 16);
}

function withSortedKeys(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1)));
}
