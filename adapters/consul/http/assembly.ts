import { assembleCredential } from "../../../src/credentials/assemble.ts";
import {
  type Certificate,
  type Clock,
  type Credential,
  CredentialError,
  MeshError,
} from "../../../src/mesh/adapter.ts";
import { PairAssembler } from "../../../src/mesh/kit/pair-assembler.ts";
import type { AgentLeaf } from "./answers.ts";

/** Puts leaf and roots, which come apart from each other, together; the same credential twice counts once. */
export class Assembly implements Disposable {
  readonly #clock: Clock;
  readonly #settling: PairAssembler;
  #leaf: AgentLeaf | undefined;
  #bundle: readonly Certificate[] | undefined;

  constructor(clock: Clock, complete: (credential: Credential) => void) {
    this.#clock = clock;
    this.#settling = new PairAssembler(clock, complete);
  }

  setLeaf(leaf: AgentLeaf): void {
    this.#leaf = leaf;
    this.#changed();
  }

  setBundle(bundle: readonly Certificate[]): void {
    this.#bundle = bundle;
    this.#changed();
  }

  [Symbol.dispose](): void {
    this.#settling[Symbol.dispose]();
  }

  #changed(): void {
    if (this.#leaf === undefined || this.#bundle === undefined) return;
    const credential = assemble(this.#leaf, this.#bundle, this.#clock.now());
    this.#settling.offer({ ...credential, renewalTime: latestRenewal(credential.chain[0]) });
  }
}

function assemble({ key, certificates }: AgentLeaf, bundle: readonly Certificate[], now: Date): Credential {
  try {
    return assembleCredential({ key, certificates, bundle, now });
  } catch (cause) {
    if (!(cause instanceof CredentialError)) throw cause;
    throw new MeshError("ATTACHE_MESH_MALFORMED", `Consul's leaf: ${cause.problem}`, { cause });
  }
}

/**
 * When the agent has renewed the leaf at the latest: it draws a point between 60 and 90 % of the life and does not
 * tell (agent/leafcert, calculateSoftExpiry).
 */
function latestRenewal({ notBefore, notAfter }: Certificate): Date {
  const lifeMs = notAfter.getTime() - notBefore.getTime();
  return new Date(notBefore.getTime() + lifeMs * 0.9);
}
