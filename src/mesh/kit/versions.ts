import { sanitizePeerText } from "../../text/peer-text.ts";
import type { Check } from "../port.ts";
import { ok, warning } from "./checks.ts";

/** The versions of a product that attaché is made for; docs/kubernetes.md has a table of all. */
export interface VersionRange {
  readonly from: string;
  /** Absent: no newer one is known to differ. */
  readonly to?: string;
}

/** What is wrong with a version, as a part of a sentence; `undefined` for one within the range. */
export function versionProblem(
  { from, to }: VersionRange,
  version: string,
): { readonly isOld: boolean; readonly message: string } | undefined {
  const found = numberOf(version);
  const isOld = found < numberOf(from);
  if (!isOld && (to === undefined || found <= numberOf(to))) return undefined;
  const range = to === undefined ? `${from} or later` : `${from} to ${to}`;
  return { isOld, message: `${isOld ? "older" : "newer"} than what attaché is made for, ${range}` };
}

/**
 * The check of what the peers of a mesh say of their version; none where they say nothing that is one.
 * @param range absent: any is as good
 */
export function versionCheck(product: string, versions: readonly string[], range?: VersionRange): Check[] {
  const known = [...new Set(versions)].filter((version) => numberOf(version) > 0);
  if (known.length === 0) return [];
  const [problem] = range === undefined ? [] : known.flatMap((one) => versionProblem(range, one) ?? []);
  const message = `${product} ${known.map((one) => sanitizePeerText(one)).join(", ")}`;
  if (problem === undefined) return [ok("version", message)];
  const remedy = problem.isOld ? `Upgrade ${product}.` : "Test before you rely on it.";
  return [warning("version", `${message}, ${problem.message}`, remedy)];
}

/** `v1.36.3+x` as 1036; 0 for what is no version. */
function numberOf(version: string): number {
  const [, major = "0", minor = "0"] = /^v?(\d{1,4})\.(\d{1,4})/.exec(version) ?? [];
  return Number(major) * 1_000 + Number(minor);
}
