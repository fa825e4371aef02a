import { keyOf, meshOf } from "../api/mesh-certificate.ts";
import { conditionOf, type Use } from "../api/status.ts";
import { hasEnded, problemsOf, type SharedProblem, sharedProblems } from "../console/problems.ts";
import { consumerKey } from "../emissary/consumer.ts";
import type { Exposure } from "../emissary/exposure.ts";
import type { IdentityView } from "../store/store.ts";

/**
 * Each exposed consumer once: it may name several identities.
 * @param others that name no identity's context
 */
export function exposedIn(views: readonly IdentityView[], others: readonly Exposure[] = []): Use[] {
  const uses = new Map<string, Use>();
  for (const { consumer, severity } of others) {
    const { kind, namespace, name } = consumer;
    uses.set(consumerKey(consumer), { kind, namespace, name, exposure: severity });
  }
  for (const { status } of views)
    for (const use of status?.usedBy ?? []) if (use.exposure !== undefined) uses.set(consumerKey(use), use);
  return [...uses.values()];
}

/** What is wrong, and with which identities. */
export function causesIn(
  views: readonly IdentityView[],
  now: Date,
): SharedProblem<{ readonly key: string }>[] {
  return sharedProblems(
    views.map(({ identity, status }) => {
      return { key: keyOf(identity), mesh: meshOf(identity), problems: problemsOf(identity, status, now) };
    }),
  );
}

/** Also checks the expiry: a status that is no longer updated must not stay ready after it. */
export function isReady({ status }: IdentityView, now: Date): boolean {
  return conditionOf(status, "Ready")?.status === "True" && !hasEnded(status ?? {}, now);
}

/**
 * Whether nothing valid is published, the ingress exposes a consumer now or accepts no configuration at all, or a
 * root was planted in what is published.
 */
export function isAlarming({ identity, status }: IdentityView, now: Date): boolean {
  return problemsOf(identity, status, now).some(({ level }) => level === "alarm");
}
