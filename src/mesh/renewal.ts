import type { Certificate } from "../credentials/certificate.ts";

/** The part of a leaf's life, as fractions of it, in which the leaf is renewed. */
export interface RenewalWindow {
  readonly from: number;
  readonly to: number;
}

/** As Consul's agents do it (agent/leafcert, calculateSoftExpiry). */
export const usualWindow: RenewalWindow = { from: 0.6, to: 0.9 };

/** No leaf waits longer than this for its successor under a new root. */
const longestJitterMs = 30_000;

/**
 * The point of the window at which this leaf is renewed, so that the leaves of many do not come due together.
 *
 * Drawn from the leaf's fingerprint: asking again, also after a restart, gives the same answer without any
 * state.
 * @param receivedAt a leaf whose point has passed before it came, because it is backdated far or the clocks
 *   differ, is renewed in the same part of what is left of its life, and not at once and for ever.
 */
export function renewalTimeOf(
  leaf: Certificate,
  receivedAt: Date,
  { from, to }: RenewalWindow = usualWindow,
): Date {
  const fraction = from + (to - from) * draw(leaf, 0);
  const planned = between(leaf.notBefore, leaf.notAfter, fraction);
  return planned > receivedAt ? planned : between(receivedAt, leaf.notAfter, fraction);
}

/**
 * How long after a change of roots this leaf is replaced, in milliseconds: up to half a minute or a tenth of
 * its life, whichever is less. Drawn from the fingerprint too, independently of the renewal.
 */
export function rootChangeJitterMs(leaf: Certificate): number {
  const lifeMs = leaf.notAfter.getTime() - leaf.notBefore.getTime();
  return draw(leaf, 1) * Math.min(longestJitterMs, lifeMs / 10);
}

/** The `index`th number in [0, 1) that the fingerprint, a SHA-256, gives: 48 bits of it. */
function draw({ fingerprint }: Certificate, index: number): number {
  return Number.parseInt(fingerprint.slice(index * 12, (index + 1) * 12), 16) / 2 ** 48;
}

function between(from: Date, to: Date, fraction: number): Date {
  return new Date(from.getTime() + (to.getTime() - from.getTime()) * fraction);
}
