import type { IdentityKey } from "../../api/mesh-certificate.ts";
import type { Clock } from "../../runtime/clock.ts";
import { TimerQueue } from "../../runtime/timer-queue.ts";
import { identityKeyOf, type SeenIdentity } from "./identity.ts";

interface DeletionGraceOptions {
  /** 0: none. */
  readonly graceMs: number;
  readonly clock: Clock;
  readonly onEnd: (key: IdentityKey) => void;
}

/** The time after the deletion of an identity began in which a use that appears stops it. */
export class DeletionGrace implements Disposable {
  readonly #options: DeletionGraceOptions;
  /** On the scale of `clock.elapsedMs()`, by UID. */
  readonly #ends = new Map<string, number>();
  readonly #timers: TimerQueue<IdentityKey>;

  constructor(options: DeletionGraceOptions) {
    this.#options = options;
    this.#timers = new TimerQueue(options.clock, options.onEnd);
  }

  /**
   * Whether an identity that is being deleted is kept for now. The time begins with the first call, since clocks differ from
   * that of the API server.
   */
  holds(seen: SeenIdentity): boolean {
    const { graceMs, clock } = this.#options;
    const { uid } = seen.metadata;
    const nowMs = clock.elapsedMs();
    const endMs = this.#ends.get(uid) ?? nowMs + graceMs;
    this.#ends.set(uid, endMs);
    if (endMs <= nowMs) return false;
    this.#timers.hasten(identityKeyOf(seen), endMs - nowMs);
    return true;
  }

  /** To be called when the identity is withdrawn. */
  forget(uid: string): void {
    this.#ends.delete(uid);
  }

  [Symbol.dispose](): void {
    this.#timers[Symbol.dispose]();
  }
}
