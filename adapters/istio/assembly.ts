import type { Clock, Credential } from "../../src/mesh/adapter.ts";
import { isSame, merge, type Parts } from "./parts.ts";

/**
 * How long a leaf that does not lead to the bundle waits for the bundle that it leads to. Then it is handed on
 * as it is, for attaché's policies to reject it and say so, rather than to let a broken mesh look idle.
 */
export const settleMs = 5_000;

/** Turns parts, as they come, into credentials; the same credential twice counts once. */
export class Assembly implements Disposable {
  readonly #clock: Clock;
  readonly #complete: (credential: Credential) => void;
  #parts: Parts = {};
  #last: Credential | undefined;
  #torn: Credential | undefined;
  #settling: AbortController | undefined;

  constructor(clock: Clock, complete: (credential: Credential) => void) {
    this.#clock = clock;
    this.#complete = complete;
  }

  add(parts: Parts): void {
    this.#parts = { ...this.#parts, ...parts };
    const merged = merge(this.#parts, this.#clock.now());
    switch (merged.kind) {
      case "partial":
        return;
      case "torn":
        this.#torn = merged.credential;
        this.#settling ??= this.#settle();
        return;
      case "whole":
        this.#stopSettling();
        this.#handOn(merged.credential);
    }
  }

  [Symbol.dispose](): void {
    this.#stopSettling();
  }

  #settle(): AbortController {
    const settling = new AbortController();
    this.#clock.sleep(settleMs, settling.signal).then(
      () => {
        this.#settling = undefined;
        if (this.#torn !== undefined) this.#handOn(this.#torn);
      },
      () => undefined,
    );
    return settling;
  }

  #stopSettling(): void {
    this.#settling?.abort();
    this.#settling = undefined;
  }

  #handOn(credential: Credential): void {
    if (this.#last !== undefined && isSame(this.#last, credential)) return;
    this.#last = credential;
    this.#complete(credential);
  }
}
