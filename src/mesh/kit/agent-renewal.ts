import type { Certificate } from "../../credentials/certificate.ts";
import { MeshError } from "../errors.ts";

/**
 * When an agent that renews leaves by itself is expected to do so: at half of the life, as Istio's and
 * SPIRE's do, some per cent earlier or later.
 */
export function expectedRenewal(leaf: Certificate): Date {
  return new Date(leaf.notAfter.getTime() - lifeMs(leaf) / 2);
}

/** Whether the agent should have renewed the leaf, with a good margin. */
export function isOverdue(leaf: Certificate, now: Date): boolean {
  return overdueAt(leaf) <= now;
}

/** Something that must come by a point in time, and what is wrong if it does not. */
export interface RenewalDeadline {
  readonly by: Date;
  readonly error: MeshError;
}

/**
 * When a new leaf must have come. An agent that hangs, or a push that got lost, looks like an idle stream; so
 * when the leaf is overdue the agent is asked afresh, and again whenever half of the rest of its life is
 * over.
 * @param remedy what to do about an agent that does not renew.
 */
export function owedRenewal(leaf: Certificate, now: Date, remedy: string): RenewalDeadline {
  const leftMs = leaf.notAfter.getTime() - now.getTime();
  const by = isOverdue(leaf, now)
    ? new Date(now.getTime() + Math.max(leftMs / 2, askAgainMs))
    : overdueAt(leaf);
  const error = new MeshError(
    "ATTACHE_MESH_TIMEOUT",
    `the agent has not renewed the certificate that expires at ${leaf.notAfter.toISOString()}`,
    { remedy },
  );
  return { by, error };
}

/** How often an agent that gives an overdue leaf is asked again, at most. */
const askAgainMs = 60_000;

/** SPIRE may be configured to renew only a day before the end (availability_target, 24 h at least). */
const latestMs = 22 * 3_600_000;

/** istiod dates leaves back by two minutes: of one that is to live no longer than this, that may be half. */
const shortMs = 600_000;

function overdueAt(leaf: Certificate): Date {
  const life = lifeMs(leaf);
  return new Date(leaf.notAfter.getTime() - Math.min(life / (life > shortMs ? 4 : 8), latestMs));
}

function lifeMs({ notBefore, notAfter }: Certificate): number {
  return notAfter.getTime() - notBefore.getTime();
}
