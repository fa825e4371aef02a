import { impersonal, isConsequence } from "../api/causes.ts";
import type { MeshCertificate } from "../api/mesh-certificate.ts";
import type { Condition, Status } from "../api/status.ts";
import { type HealthLevel, levels } from "./page-data.ts";

/** Why an identity is not as it should be. */
export interface IdentityProblem {
  readonly level: HealthLevel;
  /** Of the condition; `Leaf`: it has expired; `Root`: one is planted, left out or otherwise odd. */
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  /** Equal for identities whose problems differ only in their names and dates. */
  readonly cause: string;
}

/** The problems of an identity; of those that follow from each other, only the first. */
export function problemsOf(
  identity: MeshCertificate,
  status: Status | undefined,
  now: Date,
): readonly IdentityProblem[] {
  if (status === undefined) return [];
  const found = status.conditions.filter((condition) => levelOf(condition) !== "good");
  const causes = found.filter((condition) => !isConsequence(condition));
  const conditions = (causes.length > 0 ? causes : found).map((condition) => ({
    ...{
      level: levelOf(condition),
      type: condition.type,
      reason: condition.reason,
      message: condition.message,
    },
    cause: [condition.type, condition.reason, impersonal(condition.message, identity)].join("\n"),
  }));
  const roots = (status.rootProblems ?? []).map(({ reason, message }) => ({
    ...{
      level: reason === "Unknown" ? ("alarm" as const) : ("warning" as const),
      type: "Root",
      reason,
      message,
    },
    cause: ["Root", reason, message].join("\n"),
  }));
  const problems = [...conditions, ...roots];
  const { notAfter = "" } = status;
  // The status of a process that hangs stays ready after that.
  if (Date.parse(notAfter) > now.getTime() || notAfter === "") return problems;
  return [{ ...expired, message: `The published leaf ended at ${notAfter}.` }, ...problems];
}

const expired = { level: "alarm", type: "Leaf", reason: "Expired", cause: "Leaf" } as const;

/** Conditions whose failure means that requests fail, or are not protected, now. */
export function levelOf({
  type,
  status,
  reason,
}: Pick<Condition, "type" | "status" | "reason">): HealthLevel {
  if (type === "Terminating") return status === "False" ? "good" : "warning";
  if (status === "True" || reason === "NotConfigured") return "good";
  if (status === "Unknown") return "waiting";
  if (type === "Ready" || type === "Protected") return "alarm";
  return type === "Served" && ["Exposed", "Frozen"].includes(reason) ? "alarm" : "warning";
}

export function worst(all: Iterable<HealthLevel>): HealthLevel {
  let found = 0;
  for (const level of all) found = Math.max(found, levels.indexOf(level));
  return levels[found] ?? "good";
}
