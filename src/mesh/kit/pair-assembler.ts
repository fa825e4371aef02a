import type { Clock } from "../../runtime/clock.ts";
import type { Credential } from "../../credentials/credential.ts";
import { pathProblem } from "../../credentials/path.ts";

/**
 * How long a chain that does not lead to the bundle waits for the bundle that it leads to. Then it is handed on as it
 * is, for attaché's policies to reject it and say so, rather than to let a broken mesh look idle.
 */
export const settleMs = 5_000;

/** Why the chain does not lead to the bundle. Whether either is current is for attaché's policies to say: it says nothing of what belongs together. */
export function tornProblem(
  { chain, bundle }: Pick<Credential, "chain" | "bundle">,
  now: Date,
): string | undefined {
  return pathProblem(chain, bundle, { now, clockSkewMs: Infinity });
}

/** For adapters whose leaf and roots come apart from each other: hands on what belongs together, and the same only once. */
export class PairAssembler implements Disposable {
  readonly #clock: Clock;
  readonly #complete: (credential: Credential) => void;
  #last: Credential | undefined;
  /** What does not belong together, with the wait for what does. */
  #torn: Credential | undefined;
  #waiting: AbortController | undefined;

  constructor(clock: Clock, complete: (credential: Credential) => void) {
    this.#clock = clock;
    this.#complete = complete;
  }

  /** To be called with what came last, after each change of a part. */
  offer(credential: Credential): void {
    if (tornProblem(credential, this.#clock.now()) === undefined) {
      this[Symbol.dispose]();
      this.#handOn(credential);
    } else {
      this.#torn = credential;
      this.#waiting ??= this.#wait();
    }
  }

  [Symbol.dispose](): void {
    this.#waiting?.abort();
    this.#waiting = undefined;
  }

  #wait(): AbortController {
    const waiting = new AbortController();
    this.#clock.sleep(settleMs, waiting.signal).then(
      () => {
        this.#waiting = undefined;
        if (this.#torn !== undefined) this.#handOn(this.#torn);
      },
      () => undefined,
    );
    return waiting;
  }

  #handOn(credential: Credential): void {
    if (this.#last !== undefined && isSame(this.#last, credential)) return;
    this.#last = credential;
    this.#complete(credential);
  }
}

/** Whether two credentials publish the same; a key is that of its leaf. */
function isSame(one: Credential, other: Credential): boolean {
  const printsOf = ({ chain, bundle }: Credential) => [
    ...chain.map(({ fingerprint }) => fingerprint),
    ...bundle.map(({ fingerprint }) => fingerprint).sort(),
  ];
  return printsOf(one).join() === printsOf(other).join();
}
