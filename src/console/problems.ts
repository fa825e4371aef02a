import { keyOf, type MeshCertificate } from "../api/mesh-certificate.ts";
import { type Condition, conditionOf, type ConditionType, type Status } from "../api/status.ts";
import { atOnce } from "../runtime/time-slice.ts";
import { type HealthLevel, levels } from "./page-data.ts";

/** Why an identity is not as it should be. */
export interface IdentityProblem {
  readonly level: HealthLevel;
  /** A condition; `Leaf`: it has expired; `Root`: of the mesh, with a problem. */
  readonly type: ConditionType | "Leaf" | "Root";
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
  if (status === undefined) return [{ ...unseen, cause: "unseen" }];
  const found = status.conditions.filter((condition) => levelOf(condition) !== "good");
  const causes = found.filter((condition) => !isConsequence(condition));
  // The status of a process that hangs stays ready after the end.
  const hasExpired = conditionOf(status, "Ready")?.status === "True" && hasEnded(status, now);
  const problems: readonly Fact[] = [
    ...(hasExpired ? [expired] : []),
    ...(causes.length > 0 ? causes : found).map((one) => ({ ...one, level: levelOf(one) })),
    ...(status.rootProblems ?? []).map(({ reason, message }): Fact => {
      return { level: levelOfRoot(reason), type: "Root", reason, message };
    }),
  ];
  return problems.map(({ level, type, reason, message }) => {
    return { level, type, reason, message, cause: [type, reason, impersonal(message, identity)].join("\n") };
  });
}

type Fact = Omit<IdentityProblem, "cause">;

const unseen: Fact = {
  ...{ level: "waiting", type: "Ready", reason: "NotEvaluated" },
  message: "no attaché has looked at it yet; is one running?",
};

const expired: Fact = {
  ...{ level: "alarm", type: "Leaf", reason: "Expired" },
  message: "the leaf has expired; is attaché running?",
};

export function hasEnded({ notAfter }: Pick<Status, "notAfter">, now: Date): boolean {
  return notAfter !== undefined && new Date(notAfter) <= now;
}

/** Conditions whose failure means that requests fail, or are not protected, now. */
export function levelOf({
  type,
  status,
  reason,
}: Pick<Condition, "type" | "status" | "reason">): HealthLevel {
  if (type === "Terminating") return status === "False" ? "good" : "warning";
  if (status === "True" || reason === "NotConfigured") return "good";
  // A failure that attaché does not know ends by itself no more than one that it knows.
  if (status === "Unknown") return reason === "InternalError" ? "warning" : "waiting";
  if (type === "Ready" || type === "Protected") return "alarm";
  return type === "Served" && ["Exposed", "Frozen"].includes(reason) ? "alarm" : "warning";
}

/** Of a problem with a root: one that neither the mesh nor the status knows was planted. */
export function levelOfRoot(reason: string): HealthLevel {
  return reason === "Unknown" ? "alarm" : "warning";
}

export function worst(all: Iterable<HealthLevel>): HealthLevel {
  let found = 0;
  for (const level of all) found = Math.max(found, levels.indexOf(level));
  return levels[found] ?? "good";
}

/** One problem that some identities of a mesh have. */
export interface SharedProblem<T> extends IdentityProblem {
  readonly mesh: string;
  /** The message is that of the first. */
  readonly having: readonly T[];
}

interface Judged {
  readonly mesh: string;
  readonly problems: readonly IdentityProblem[];
}

/** As {@link sharedProblems}; a step for each that has them. */
export function* sharingProblems<T extends Judged>(
  all: Iterable<T>,
): Generator<undefined, SharedProblem<T>[]> {
  const shared = new Map<string, SharedProblem<T> & { readonly having: T[] }>();
  for (const one of all) {
    for (const problem of one.problems) {
      const key = `${one.mesh}\n${problem.cause}`;
      const known = shared.get(key);
      if (known === undefined) shared.set(key, { ...problem, mesh: one.mesh, having: [one] });
      else known.having.push(one);
    }
    yield;
  }
  const isAlarm = ({ level }: IdentityProblem) => Number(level === "alarm");
  return [...shared.values()].toSorted(
    (one, other) => isAlarm(other) - isAlarm(one) || other.having.length - one.having.length,
  );
}

/** Problems that differ only in an identity's names and dates are one; alarms first, then the most frequent. */
export function sharedProblems<T extends Judged>(all: Iterable<T>): SharedProblem<T>[] {
  return atOnce(sharingProblems(all));
}

/** Nothing is published, and another condition says why. */
function isConsequence({ type, reason }: Condition): boolean {
  return reason === "NotPublished" || (type === "Published" && reason === "Waiting");
}

/** The message without what differs between identities with the same problem. */
function impersonal(message: string, identity: MeshCertificate): string {
  return message
    .replaceAll(keyOf(identity), "…")
    .replaceAll(/spiffe:\/\/[^\s,;"]+/g, "…")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "…");
}
