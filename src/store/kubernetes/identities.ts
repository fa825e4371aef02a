import type { IdentityKey } from "../../api/mesh-certificate.ts";
import { isNewer } from "./api-object.ts";
import { identityKeyOf, type SeenIdentity } from "./identity.ts";

/** The MeshCertificates, each as it was last seen: by the watch, or in the answer to a write of our own. */
export class Identities {
  readonly #byKey = new Map<IdentityKey, SeenIdentity>();
  readonly #byUid = new Map<string, SeenIdentity>();
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

  see(seen: SeenIdentity): void {
    const key = identityKeyOf(seen);
    const before = this.#byKey.get(key);
    if (before !== undefined && !isNewer(seen.resourceVersion, before.resourceVersion)) return;
    if (before !== undefined) this.#byUid.delete(before.metadata.uid);
    this.#byKey.set(key, seen);
    this.#byUid.set(seen.metadata.uid, seen);
    this.#onChange(key);
  }

  lose({ metadata: { uid } }: SeenIdentity): void {
    const before = this.#byUid.get(uid);
    if (before === undefined) return;
    const key = identityKeyOf(before);
    this.#byUid.delete(uid);
    this.#byKey.delete(key);
    this.#onChange(key);
  }
}
