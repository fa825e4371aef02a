import type { Clock } from "../clock.ts";
import { isIssuedBy } from "../credentials/chain.ts";
import type { Credential } from "../credentials/credential.ts";
import { rotationCause } from "./rotation.ts";
import type { RotationWindows } from "./rotation-windows.ts";

/** For how long the new leaf of one identity is held back while the published one is still good. Roots are never held back. */
export class LeafHold {
  readonly #clock: Clock;
  readonly #windows: RotationWindows;
  /** When the leaf that is held back is due, as `clock.elapsedMs()` counts. */
  #dueMs: number | undefined;

  constructor(clock: Clock, windows: RotationWindows) {
    this.#clock = clock;
    this.#windows = windows;
  }

  /** How long the leaf of `next` has to wait yet, in milliseconds; 0 when it is to be published now. */
  waitMs(published: Credential, next: Credential): number {
    if (!isHoldable(published, next)) return this.#end();
    const leftMs = published.chain[0].notAfter.getTime() - this.#clock.now().getTime();
    this.#dueMs ??= this.#windows.due(leftMs);
    const waitMs = this.#dueMs - this.#clock.elapsedMs();
    return waitMs > 0 ? waitMs : this.#end();
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
  return cause === "both" && published.chain.some((one) => next.bundle.some((root) => isIssuedBy(one, root)));
}
