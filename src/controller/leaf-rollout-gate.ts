import type { Clock } from "../runtime/clock.ts";
import { isUnder } from "../credentials/path.ts";
import type { Credential } from "../credentials/credential.ts";
import type { Published } from "../render/read-back.ts";
import type { RotationBatcher } from "./rotation-batcher.ts";
import type { RotationCause } from "../telemetry/counters.ts";

/**
 * A new leaf waits for the ingress to take new roots for so long at most, and for this share of the life that
 * is left.
 */
const longestUnionMs = 10_000;
const unionShare = 0.05;

/** What is asked of the rest; handed over with each question, as there are thousands of holds. */
interface LeafRolloutGatePorts {
  readonly clock: Clock;
  readonly rotations: RotationBatcher;
  /** Whether an ingress that uses the identity may say what it has loaded. */
  readonly isWatched: () => boolean;
  /** Whether it may load at any moment what is published and what it has not loaded yet. */
  readonly isPending: () => boolean;
}

/**
 * For how long the new leaf of one identity is held back while the published one is still good: until the
 * ingress has taken roots that came with it or shortly before, and then until the next window of rotations.
 * Roots are never held back.
 */
export class LeafRolloutGate {
  /**
   * When roots were last added, as `clock.elapsedMs()` counts. A process that begins takes it that they just
   * were.
   */
  #unionAtMs: number;
  /** When the leaf that is held back has its window. */
  #dueMs: number | undefined;

  constructor(clock: Clock) {
    this.#unionAtMs = clock.elapsedMs();
  }

  /**
   * How long the leaf of `next` has to wait yet, in milliseconds; 0 when it is to be published now. To be
   * asked again when what is published has changed, or what the ingress says.
   */
  waitMs(published: Published, next: Credential, ports: LeafRolloutGatePorts): number {
    const { clock, rotations, isWatched, isPending } = ports;
    const nowMs = clock.elapsedMs();
    const known = new Set(published.bundle.map(({ fingerprint }) => fingerprint));
    const areRootsNew = next.bundle.some(({ fingerprint }) => !known.has(fingerprint));
    if (areRootsNew) this.#unionAtMs = nowMs;
    const { credential } = published;
    if (credential === undefined || !isHoldable(credential, next)) return this.#end();
    const leftMs = Math.max(credential.chain[0].notAfter.getTime() - clock.now().getTime(), 0);
    const unionMs = this.#unionAtMs + Math.min(longestUnionMs, Math.floor(leftMs * unionShare)) - nowMs;
    if (unionMs > 0 && (areRootsNew ? isWatched() : isPending())) return unionMs;
    this.#dueMs ??= rotations.due(nowMs, leftMs);
    return this.#dueMs > nowMs ? this.#dueMs - nowMs : this.#end();
  }

  #end(): number {
    this.#dueMs = undefined;
    return 0;
  }
}

/** Whether there is a new leaf, and the mesh's workloads still accept the old one. */
function isHoldable(published: Credential, next: Credential): boolean {
  const cause = rotationCause(published, next);
  if (cause === "leaf") return true;
  return cause === "both" && isUnder(published.chain, next.bundle);
}

/** How `after` differs from what was published before; nothing when it is the same credential again. */
export function rotationCause(before: Credential | undefined, after: Credential): RotationCause | undefined {
  if (before === undefined) return "initial";
  const isLeafNew = before.chain[0].fingerprint !== after.chain[0].fingerprint;
  const areRootsNew = rootsOf(before) !== rootsOf(after);
  if (isLeafNew && areRootsNew) return "both";
  if (isLeafNew) return "leaf";
  return areRootsNew ? "root" : undefined;
}

function rootsOf({ bundle }: Credential): string {
  return bundle
    .map(({ fingerprint }) => fingerprint)
    .toSorted()
    .join();
}
