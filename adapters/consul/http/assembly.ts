import { assembleCredential } from "../../../src/credentials/assemble.ts";
import { pathProblem } from "../../../src/credentials/path.ts";
import {
  type Certificate,
  type Clock,
  type Credential,
  CredentialError,
  MeshError,
} from "../../../src/mesh/adapter.ts";
import type { Leaf } from "./answers.ts";
import { latestRenewal } from "./renewal.ts";

/**
 * How long a leaf that does not lead to the roots waits for the roots that it leads to. Then it is handed on as it
 * is, for attaché's policies to reject it and say so, rather than to let a broken mesh look idle.
 */
export const settleMs = 5_000;

/** Whether a certificate is current is for attaché's policies to say; it says nothing of what belongs together. */
const anyAge = Infinity;

/** Puts leaf and roots, which come apart from each other, together; the same credential twice counts once. */
export class Assembly implements Disposable {
  readonly #clock: Clock;
  readonly #complete: (credential: Credential) => void;
  #leaf: Leaf | undefined;
  #bundle: readonly Certificate[] | undefined;
  #last: Credential | undefined;
  #settling: AbortController | undefined;

  constructor(clock: Clock, complete: (credential: Credential) => void) {
    this.#clock = clock;
    this.#complete = complete;
  }

  setLeaf(leaf: Leaf): void {
    this.#leaf = leaf;
    this.#changed();
  }

  setBundle(bundle: readonly Certificate[]): void {
    this.#bundle = bundle;
    this.#changed();
  }

  [Symbol.dispose](): void {
    this.#stopSettling();
  }

  #changed(): void {
    const credential = this.#assemble();
    if (credential === undefined) return;
    const instant = { now: this.#clock.now(), clockSkewMs: anyAge };
    if (pathProblem(credential.chain, credential.bundle, instant) !== undefined) {
      this.#settling ??= this.#settle();
      return;
    }
    this.#stopSettling();
    this.#handOn(credential);
  }

  #assemble(): Credential | undefined {
    if (this.#leaf === undefined || this.#bundle === undefined) return undefined;
    const credential = assemble(this.#leaf, this.#bundle, this.#clock.now());
    return { ...credential, renewalTime: latestRenewal(credential.chain[0]) };
  }

  #settle(): AbortController {
    const settling = new AbortController();
    this.#clock.sleep(settleMs, settling.signal).then(
      () => {
        this.#settling = undefined;
        const credential = this.#assemble();
        if (credential !== undefined) this.#handOn(credential);
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

function assemble({ key, certificates }: Leaf, bundle: readonly Certificate[], now: Date): Credential {
  try {
    return assembleCredential({ key, certificates, bundle, now });
  } catch (cause) {
    if (!(cause instanceof CredentialError)) throw cause;
    throw new MeshError("ATTACHE_MESH_MALFORMED", `Consul's leaf: ${cause.problem}`, { cause });
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
