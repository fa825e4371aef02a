import { ApiError } from "./api-error.ts";

/**
 * How an informer stands: `listing` at the start; then `synced`, `failing` (it tries again and again, `error`
 * says why it fails) or `absent` (the API server does not know the kind: its CRD is not installed). Each of
 * these three may follow each.
 */
export interface InformerHealth {
  /** `secrets in namespace edge`, for messages. */
  readonly what: string;
  readonly state: "listing" | "synced" | "failing" | "absent";
  /** All objects were seen once, or the kind is absent. Never becomes false again. */
  readonly isSynced: boolean;
  /** Since when it is in this state, by `elapsedMs()`. */
  readonly sinceMs: number;
  readonly error?: ApiError;
}

/** What an informer has seen: all objects, or the error of a list or watch. */
export type Outcome = "synced" | { readonly error: unknown };

/** The health after `outcome`, which came at `nowMs`. Pure. */
export function transition(before: InformerHealth, outcome: Outcome, nowMs: number): InformerHealth {
  const after = healthAfter(before, outcome);
  return after.state === before.state ? { ...after, sinceMs: before.sinceMs } : { ...after, sinceMs: nowMs };
}

function healthAfter({ what, isSynced }: InformerHealth, outcome: Outcome): Omit<InformerHealth, "sinceMs"> {
  if (outcome === "synced") return { what, state: "synced", isSynced: true };
  const error = outcome.error instanceof ApiError ? outcome.error : undefined;
  const isAbsent = error?.code === "ATTACHE_KUBERNETES_KIND_UNKNOWN";
  return {
    what,
    state: isAbsent ? "absent" : "failing",
    isSynced: isSynced || isAbsent,
    ...(error !== undefined && { error }),
  };
}

/** Whether `after` is another state than `before`, or has another reason. */
export function isTransition(before: InformerHealth, after: InformerHealth): boolean {
  return before.state !== after.state || before.error?.code !== after.error?.code;
}
