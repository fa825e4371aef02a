import type { KeyObject } from "node:crypto";
import type { Clock } from "../../runtime/clock.ts";
import { assembleCredential } from "../../credentials/assemble.ts";
import type { Certificate } from "../../credentials/certificate.ts";
import type { ListedRoots } from "../../credentials/certificates.ts";
import type { Crls } from "../../credentials/crl.ts";
import type { Credential } from "../../credentials/credential.ts";
import { pathProblem } from "../../credentials/path.ts";

/**
 * How long a chain that does not lead to the bundle waits for the bundle that it leads to. Then it is handed
 * on as it is, for attaché's policies to reject it and say so, rather than to let a broken mesh look idle.
 */
export const settleMs = 5_000;

/**
 * Why the chain does not lead to the bundle. Whether either is current is for attaché's policies to say: it
 * says nothing of what belongs together.
 */
export function tornProblem(
  { chain, bundle }: Pick<Credential, "chain" | "bundle">,
  now: Date,
): string | undefined {
  return pathProblem(chain, bundle, { now, clockSkewMs: Infinity });
}

/** What comes apart from each other; that which has come. The bundle is never empty. */
export interface Parts extends Partial<ListedRoots> {
  readonly workload?: {
    readonly key: KeyObject;
    /** The leaf and its intermediates, in any order. */
    readonly certificates: readonly Certificate[];
  };
  readonly crls?: Crls;
}

interface PairAssemblerOptions {
  readonly clock: Clock;
  /** When the mesh renews a leaf by itself. */
  readonly renewal: (leaf: Certificate) => Date;
  /** Is given what belongs together. */
  readonly complete: (credential: Credential) => void;
}

/**
 * Makes one credential of its parts; `undefined` while one of them has not come.
 * @throws CredentialError as `assembleCredential`.
 */
export function merge(
  { workload, bundle, leftOut, crls }: Parts,
  { clock, renewal }: Pick<PairAssemblerOptions, "clock" | "renewal">,
): Credential | undefined {
  if (workload === undefined || bundle === undefined) return undefined;
  const credential = assembleCredential({
    ...workload,
    bundle,
    ...(leftOut && { leftOut }),
    ...(crls && { crls }),
    now: clock.now(),
  });
  // Not a copy, which would keep what its `key` makes at each access.
  return Object.assign(credential, { renewalTime: renewal(credential.chain[0]) });
}

/**
 * For adapters whose leaf and roots come apart from each other: hands on what belongs together, and the same
 * only once.
 */
export class PairAssembler implements Disposable {
  readonly #options: PairAssemblerOptions;
  #parts: Parts = {};
  #last: Credential | undefined;
  /** What does not belong together, with the wait for what does. */
  #torn: Credential | undefined;
  #waiting: AbortController | undefined;

  constructor(options: PairAssemblerOptions) {
    this.#options = options;
  }

  /** Takes the parts that have come, in place of those before. @throws CredentialError as {@link merge}. */
  add(parts: Parts): void {
    this.#parts = { ...this.#parts, ...parts };
    const credential = merge(this.#parts, this.#options);
    if (credential === undefined) return;
    if (tornProblem(credential, this.#options.clock.now()) === undefined) {
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
    this.#options.clock.sleep(settleMs, waiting.signal).then(
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
    this.#options.complete(credential);
  }
}

/** Whether two credentials publish and report the same; a key is that of its leaf. */
function isSame(one: Credential, other: Credential): boolean {
  const printsOf = ({ chain, bundle, leftOut = [], crls }: Credential) => [
    ...chain.map(({ fingerprint }) => fingerprint),
    ...[...bundle, ...leftOut, ...(crls?.lists ?? [])].map(({ fingerprint }) => fingerprint).sort(),
    ...(crls?.problems ?? []),
  ];
  return printsOf(one).join() === printsOf(other).join();
}
