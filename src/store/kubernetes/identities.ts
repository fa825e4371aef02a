import type { IdentityKey } from "../../api/mesh-certificate.ts";
import { isNewer } from "../backend.ts";
import { identityKeyOf, type SeenIdentity } from "./identity.ts";

/** The MeshCertificates, each as it was last seen: by the watch, or in the answer to a write of our own. */
export class Identities {
  readonly #byKey = new Map<IdentityKey, SeenIdentity>();
  readonly #byUid = new Map<string, SeenIdentity>();
  /** By the name of the TLSContext that they are to publish. */
  readonly #byContext = new Map<string, Set<IdentityKey>>();
  readonly #onChange: (key: IdentityKey) => void;

  constructor(onChange: (key: IdentityKey) => void) {
    this.#onChange = onChange;
  }

  get(key: IdentityKey): SeenIdentity | undefined {
    return this.#byKey.get(key);
  }

  ofUid(uid: string): SeenIdentity | undefined {
    return this.#byUid.get(uid);
  }

  keys(): IdentityKey[] {
    return [...this.#byKey.keys()];
  }

  /** The identities that are to publish a TLSContext of this name. */
  wanting(context: string): IdentityKey[] {
    return [...(this.#byContext.get(context) ?? [])];
  }

  /** An identity for each TLSContext that is to be published, by the context's name. */
  publishers(): Map<string, IdentityKey> {
    return new Map(
      this.#byContext.entries().flatMap(([name, [key]]) => (key === undefined ? [] : [[name, key]])),
    );
  }

  see(seen: SeenIdentity): void {
    const key = identityKeyOf(seen);
    const before = this.#byKey.get(key);
    if (before !== undefined && !isNewer(seen.resourceVersion, before.resourceVersion)) return;
    if (before !== undefined) this.#forget(before);
    this.#byKey.set(key, seen);
    this.#byUid.set(seen.metadata.uid, seen);
    const { context } = seen;
    if (context !== undefined) {
      this.#byContext.set(context.name, (this.#byContext.get(context.name) ?? new Set()).add(key));
    }
    this.#onChange(key);
  }

  lose({ metadata: { uid } }: SeenIdentity): void {
    const before = this.#byUid.get(uid);
    if (before === undefined) return;
    this.#forget(before);
    this.#onChange(identityKeyOf(before));
  }

  #forget(seen: SeenIdentity): void {
    const key = identityKeyOf(seen);
    this.#byUid.delete(seen.metadata.uid);
    this.#byKey.delete(key);
    const wanting = this.#byContext.get(seen.context?.name ?? "");
    wanting?.delete(key);
    if (wanting?.size === 0) this.#byContext.delete(seen.context?.name ?? "");
  }
}
