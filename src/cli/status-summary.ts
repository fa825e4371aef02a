import { keyOf, meshOf } from "../api/mesh-certificate.ts";
import { type Condition, conditionOf, type ConditionType, type Use } from "../api/status.ts";
import { severities } from "../emissary/exposure.ts";
import type { Check } from "../mesh/port.ts";
import type { IdentityView } from "../store/store.ts";
import { someOf } from "./output.ts";

/** Identities and consumers that a paragraph names; the rest is counted. */
const named = 5;

/**
 * The answers to what an operator asks first: whether attaché works, who is exposed, and how many identities
 * are ready.
 * @param working whether attaché works, by installation
 */
export function answersOf(working: readonly Check[], views: readonly IdentityView[], now: Date): string[] {
  const exposed = exposedIn(views).map(({ exposure }) => exposure);
  const grades = severities.flatMap((severity) => {
    const count = exposed.filter((one) => one === severity).length;
    return count === 0 ? [] : [`${count} ${severity}`];
  });
  const consumers = views.reduce((sum, { status }) => sum + (status?.usedByCount ?? 0), 0);
  const ready = views.filter((view) => isReady(view, now)).length;
  return [
    ...working.map(({ message }) => `attaché     ${message}`),
    ...(consumers === 0 ? [] : [`consumers   ${grades.join(", ") || "none exposed"}, of ${consumers}`]),
    ...(views.length === 0 ? [] : [`identities  ${ready} of ${views.length} ready`]),
  ];
}

/** What to do: about attaché, about the exposed, and about each cause of problems. */
export function adviceOn(working: readonly Check[], views: readonly IdentityView[], now: Date): string[] {
  return [
    ...working.flatMap(({ message, remedy }) =>
      remedy === undefined ? [] : [withRemedy(`attaché: ${message}`, remedy)],
    ),
    ...exposed(views),
    ...causesIn(views, now).map(textOf),
  ];
}

function withRemedy(text: string, remedy: string | undefined): string {
  return remedy === undefined ? text : `${text}\n  → ${remedy}`;
}

function exposed(views: readonly IdentityView[]): string[] {
  const uses = exposedIn(views);
  if (uses.length === 0) return [];
  const texts = uses.map(
    ({ kind, namespace, name, exposure }) => `${kind} ${namespace}/${name} (${exposure ?? ""})`,
  );
  return [
    withRemedy(
      `exposed: ${someOf(texts, named)}.`,
      "Run `attache status --mappings` for the reason of each, and what to change.",
    ),
  ];
}

/** Each consumer once: it may name several identities. */
function exposedIn(views: readonly IdentityView[]): Use[] {
  const uses = new Map<string, Use>();
  for (const { status } of views)
    for (const use of status?.usedBy ?? [])
      if (use.exposure !== undefined) uses.set(`${use.kind} ${use.namespace}/${use.name}`, use);
  return [...uses.values()];
}

/** One problem that some identities have. */
interface Cause {
  readonly type: ConditionType | "Leaf";
  readonly mesh: string;
  /** As the first of them reports it. */
  readonly message: string;
  readonly identities: readonly string[];
}

function textOf({ type, mesh, message, identities }: Cause): string {
  const [first = ""] = identities;
  if (identities.length === 1) return `${first} ${type}: ${message}`;
  return `${identities.length} identities of mesh ${mesh}, ${type}: ${message}\n  ${someOf(identities, named)}`;
}

/** Problems that differ only in an identity's names and dates are one cause; the most frequent is first. */
function causesIn(views: readonly IdentityView[], now: Date): Cause[] {
  const causes = new Map<string, Cause & { readonly identities: string[] }>();
  for (const view of views) {
    const key = keyOf(view.identity);
    const mesh = meshOf(view.identity);
    for (const { type, message } of problemsOf(view, now)) {
      const cause = [type, mesh, impersonal(message, view)].join("\n");
      const known = causes.get(cause);
      if (known === undefined) causes.set(cause, { type, mesh, message, identities: [key] });
      else known.identities.push(key);
    }
  }
  return [...causes.values()].toSorted((one, other) => other.identities.length - one.identities.length);
}

type Problem = Pick<Cause, "type" | "message">;

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
  ];
}

function isProblem({ type, status, reason }: Condition): boolean {
  if (type === "Terminating") return status !== "False";
  return status !== "True" && reason !== "NotConfigured";
}

/** Nothing is published, and another condition says why. */
function isConsequence({ type, reason }: Condition): boolean {
  return reason === "NotPublished" || (type === "Published" && reason === "Waiting");
}

/** The message without what differs between identities with the same problem. */
function impersonal(message: string, { identity }: IdentityView): string {
  return message
    .replaceAll(keyOf(identity), "…")
    .replaceAll(/spiffe:\/\/[^\s,;"]+/g, "…")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "…");
}

/** Also checks the expiry: a status that is no longer updated must not stay ready after it. */
export function isReady(view: IdentityView, now: Date): boolean {
  const notAfter = view.status?.notAfter;
  const isOver = notAfter !== undefined && new Date(notAfter) <= now;
  return !isOver && conditionOf(view.status, "Ready")?.status === "True";
}

/** Whether the ingress exposes a consumer now, or accepts no configuration at all. */
export function isAlarming(view: IdentityView): boolean {
  const { status, reason = "" } = conditionOf(view.status, "Served") ?? {};
  return (
    conditionOf(view.status, "Protected")?.status === "False" ||
    (status === "False" && ["Exposed", "Frozen"].includes(reason))
  );
}
