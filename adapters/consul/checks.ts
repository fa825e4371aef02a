import type { Check } from "../../src/mesh/adapter.ts";
import { ok, warning } from "../../src/mesh/kit/checks.ts";

/** The table in docs/kubernetes.md has it too. */
export const supportedConsul = { from: "1.14" } as const;

/** Consul's leaves are backdated by a minute: half of that leaves room for the servers' own differences. */
const maxSkewMs = 30_000;

/** @param skewMs how far this machine is ahead of `whom`; negative if it is behind. */
export function clockCheck(skewMs: number, whom: string): Check {
  const name = "clock";
  if (Math.abs(skewMs) <= maxSkewMs) return ok(name, `agrees with that of ${whom}`);
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  return warning(
    name,
    `this machine is ${seconds} s ${skewMs > 0 ? "ahead of" : "behind"} ${whom}`,
    "Synchronise both clocks: leaves look expired, or not yet valid, to one side.",
  );
}
