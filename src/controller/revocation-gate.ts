import type { Clock } from "../runtime/clock.ts";
import type { Published } from "../render/read-back.ts";

/**
 * For so long a new Secret with revocation lists is there before the TLSContext names it: Emissary watches both kinds
 * apart from each other, and a context that it sees before its Secret sends plaintext.
 */
const settleMs = 10_000;

export class RevocationGate {
  /** Since when there has been such a Secret, as `clock.elapsedMs()` counts. */
  #sinceMs: number | undefined;

  /** How long the TLSContext has to wait yet; 0 if it may name the Secret. */
  waitMs({ revocation: { isChecked, lists } }: Published, clock: Clock): number {
    if (isChecked) return 0;
    if (lists.length === 0 || this.#sinceMs === undefined) return settleMs;
    return Math.max(this.#sinceMs + settleMs - clock.elapsedMs(), 0);
  }

  /** To be called with what the store has taken. */
  applied({ revocation: { lists } }: Published, clock: Clock): void {
    this.#sinceMs = lists.length === 0 ? undefined : (this.#sinceMs ?? clock.elapsedMs());
  }
}
