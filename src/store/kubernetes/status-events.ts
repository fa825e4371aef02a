import type { Condition, Status } from "../../api/mesh-certificate.ts";

/** What an Event says. */
export interface StatusEvent {
  readonly type: "Normal" | "Warning";
  /** One CamelCase word: why. */
  readonly reason: string;
  /** One CamelCase word: what attaché was about. */
  readonly action: string;
  readonly note: string;
}

/** What has happened, if this status follows that one. */
export function statusEvents(previous: Status | undefined, next: Status): StatusEvent[] {
  return [
    ...next.conditions.flatMap((condition) => turn(before(previous, condition), condition) ?? []),
    ...rotation(previous, next),
    ...roots(previous, next),
    ...rootProblems(previous, next),
  ];
}

const actions: Readonly<Record<Condition["type"], string>> = {
  Ready: "Publish",
  Published: "Publish",
  SourceReady: "Obtain",
  Served: "Serve",
  Protected: "Protect",
  RevocationChecked: "Protect",
  Terminating: "Withdraw",
};

/** Reasons of a beginning: nothing has happened yet. */
const quiet: ReadonlySet<string> = new Set(["Waiting", "NotPublished", "NotConfigured"]);

function before(previous: Status | undefined, { type }: Condition): Condition | undefined {
  return previous?.conditions.find((one) => one.type === type);
}

function turn(was: Condition | undefined, is: Condition): StatusEvent | undefined {
  if ((was?.status === is.status && was.reason === is.reason) || quiet.has(is.reason)) return undefined;
  const isGood = is.type === "Terminating" ? is.reason !== "InUse" : is.status === "True";
  return {
    type: isGood ? "Normal" : "Warning",
    reason: is.reason,
    action: actions[is.type],
    note: is.message,
  };
}

function rotation(previous: Status | undefined, next: Status): StatusEvent[] {
  const { serialNumber, spiffeId = "", notAfter = "" } = next;
  if (previous?.serialNumber === undefined || serialNumber === undefined) return [];
  if (serialNumber === previous.serialNumber) return [];
  const note = `A new leaf of ${spiffeId} is published: serial number ${serialNumber}, valid until ${notAfter}.`;
  return [{ type: "Normal", reason: "Rotated", action: "Publish", note }];
}

function roots(previous: Status | undefined, next: Status): StatusEvent[] {
  if (previous?.roots === undefined || next.roots === undefined) return [];
  if (rootsOf(previous) === rootsOf(next)) return [];
  const count = (state: "active" | "retiring") =>
    next.roots?.filter((root) => root.state === state).length ?? 0;
  const note = `The published roots have changed: ${count("active")} that the mesh lists, ${count("retiring")} that retire.`;
  return [{ type: "Normal", reason: "RootsChanged", action: "Publish", note }];
}

/** One Event for each reason: a mesh may list many roots with the same problem. */
function rootProblems(
  { rootProblems: before = [] }: Status = { conditions: [] },
  next: Status,
): StatusEvent[] {
  const added = (next.rootProblems ?? []).filter(
    ({ fingerprint, reason }) =>
      !before.some((one) => one.fingerprint === fingerprint && one.reason === reason),
  );
  const first = new Map(added.toReversed().map((problem) => [problem.reason, problem.message]));
  return [...first].map(([reason, note]) => {
    return { type: "Warning", reason: `Root${reason}`, action: "Publish", note };
  });
}

function rootsOf({ roots: all = [] }: Status): string {
  return all
    .map(({ fingerprint, state }) => `${fingerprint} ${state}`)
    .toSorted()
    .join();
}
