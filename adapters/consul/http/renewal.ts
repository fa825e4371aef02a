import type { Certificate } from "../../../src/mesh/adapter.ts";

/**
 * When the agent has renewed the leaf at the latest: it draws a point between 60 and 90 % of the life and does not
 * tell (agent/leafcert, calculateSoftExpiry).
 */
export function latestRenewal({ notBefore, notAfter }: Certificate): Date {
  const lifeMs = notAfter.getTime() - notBefore.getTime();
  return new Date(notBefore.getTime() + lifeMs * 0.9);
}
