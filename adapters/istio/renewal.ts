import { type Certificate, MeshError } from "../../src/mesh/adapter.ts";
import type { Owed } from "./secret-stream.ts";

/** The agent renews when half of the life is over (SECRET_GRACE_PERIOD_RATIO, 0.5 ± 0.01 by default). */
export function expectedRenewal(leaf: Certificate): Date {
  return atShareOfLife(leaf, 1 / 2);
}

export function isOverdue(leaf: Certificate, now: Date): boolean {
  return atShareOfLife(leaf, 3 / 4) <= now;
}

/** How often an agent that gives an overdue leaf is asked again, at most. */
const askAgainMs = 60_000;

/**
 * When a new leaf must have come. An agent that hangs, or a push that got lost, looks like an idle stream; so
 * when three quarters of the life are over it is asked afresh, and again whenever half of the rest is over.
 */
export function owedRenewal(leaf: Certificate, now: Date): Owed {
  const leftMs = leaf.notAfter.getTime() - now.getTime();
  const by = isOverdue(leaf, now)
    ? new Date(now.getTime() + Math.max(leftMs / 2, askAgainMs))
    : atShareOfLife(leaf, 3 / 4);
  const error = new MeshError(
    "ATTACHE_MESH_TIMEOUT",
    `the agent has not renewed the certificate that expires at ${leaf.notAfter.toISOString()}`,
    { remedy: "Look at the log of the agent (container istio-proxy), and whether it reaches istiod." },
  );
  return { by, error };
}

function atShareOfLife({ notBefore, notAfter }: Certificate, share: number): Date {
  const lifeMs = notAfter.getTime() - notBefore.getTime();
  return new Date(notBefore.getTime() + lifeMs * share);
}
