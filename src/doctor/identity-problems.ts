import { impersonal, isConsequence } from "../api/causes.ts";
import { keyOf, meshOf } from "../api/mesh-certificate.ts";
import { type Condition, conditionOf, type ConditionType, type Use } from "../api/status.ts";
import type { Exposure } from "../emissary/exposure.ts";
import type { IdentityView } from "../store/store.ts";

/** One problem that some identities have. */
export interface SharedProblem {
  readonly type: ConditionType | "Leaf" | "Root";
  readonly mesh: string;
  /** As the first of them reports it. */
  readonly message: string;
  readonly identities: readonly string[];
}

/**
 * Each exposed consumer once: it may name several identities.
 * @param others that name no identity's context
 */
export function exposedIn(views: readonly IdentityView[], others: readonly Exposure[] = []): Use[] {
  const uses = new Map<string, Use>();
  for (const { consumer, severity } of others) {
    const { kind, namespace, name } = consumer;
    uses.set(`${kind} ${namespace}/${name}`, { kind, namespace, name, exposure: severity });
  }
  for (const { status } of views)
    for (const use of status?.usedBy ?? [])
      if (use.exposure !== undefined) uses.set(`${use.kind} ${use.namespace}/${use.name}`, use);
  return [...uses.values()];
}

/** Problems that differ only in an identity's names and dates are one cause; the most frequent is first. */
export function causesIn(views: readonly IdentityView[], now: Date): SharedProblem[] {
  const causes = new Map<string, SharedProblem & { readonly identities: string[] }>();
  for (const view of views) {
    const key = keyOf(view.identity);
    const mesh = meshOf(view.identity);
    for (const { type, message } of problemsOf(view, now)) {
      const cause = [type, mesh, impersonal(message, view.identity)].join("\n");
      const known = causes.get(cause);
      if (known === undefined) causes.set(cause, { type, mesh, message, identities: [key] });
      else known.identities.push(key);
    }
  }
  return [...causes.values()].toSorted((one, other) => other.identities.length - one.identities.length);
}

type Problem = Pick<SharedProblem, "type" | "message">;

function problemsOf(view: IdentityView, now: Date): readonly Problem[] {
  const { status } = view;
  if (status === undefined)
    return [{ type: "Ready", message: "no attaché has looked at it yet; is one running?" }];
  const found = status.conditions.filter(isProblem);
  const causes = found.filter((one) => !isConsequence(one));
  const hasExpired = conditionOf(view.status, "Ready")?.status === "True" && !isReady(view, now);
  return [
    ...(hasExpired ? [{ type: "Leaf", message: "the leaf has expired; is attaché running?" } as const] : []),
    ...(causes.length > 0 ? causes : found),
    ...(status.rootProblems ?? []).map(({ message }) => ({ type: "Root", message }) as const),
  ];
}

function isProblem({ type, status, reason }: Condition): boolean {
  if (type === "Terminating") return status !== "False";
  return status !== "True" && reason !== "NotConfigured";
}

/** Also checks the expiry: a status that is no longer updated must not stay ready after it. */
export function isReady(view: IdentityView, now: Date): boolean {
  const notAfter = view.status?.notAfter;
  const isOver = notAfter !== undefined && new Date(notAfter) <= now;
  return !isOver && conditionOf(view.status, "Ready")?.status === "True";
}

/**
 * Whether the ingress exposes a consumer now, or accepts no configuration at all, or a root was planted in what is
 * published.
 */
export function isAlarming(view: IdentityView): boolean {
  const { status, reason = "" } = conditionOf(view.status, "Served") ?? {};
  return (
    view.status?.rootProblems?.some((problem) => problem.reason === "Unknown") === true ||
    conditionOf(view.status, "Protected")?.status === "False" ||
    (status === "False" && ["Exposed", "Frozen"].includes(reason))
  );
}
